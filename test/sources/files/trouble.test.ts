import { rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readFolder } from '../../../src/sources/files/folder.ts';
import { dig } from '../../../src/sources/raw.ts';
import { NODE, service, slice } from '../support.ts';
import { changes, messages, pastDebounce, poll, useTree } from './tree.ts';

const tree = useTree();

describe('trouble', () => {
  it('with a file costs only what it would have said', async () => {
    await tree.put('a.yaml', service('a'));
    await tree.put('b.yaml', service('b'));
    const started = await tree.begin();
    await tree.put('a.yaml', 'kind: Service\nmetadata:\n  name: [a\n');
    await tree.put('b.yaml', service('b2'));
    await poll(() => changes(started)).toEqual(['put Service default/b2', 'remove Service default/b']);
    expect(started.sink.names('Service')).toEqual(['default/a', 'default/b2']);
    expect(messages(started)).toMatchObject([
      {
        level: 'error',
        message: 'a file cannot be read, keeping what it said before',
        fields: { file: 'a.yaml', line: 4, column: 1 },
      },
    ]);
    await tree.put('a.yaml', service('a2'));
    await poll(() => started.sink.names('Service')).toEqual(['default/a2', 'default/b2']);
  });

  it('is told of where a file has something that is no object', async () => {
    await tree.put('a.yaml', '- a list\n', '{metadata: {name: x}}\n', '', '{kind: Service}\n', service('a'));
    await tree.put('b.json', '{"kind":"List","apiVersion":"v1","items":[1,{"kind":"Pod","apiVersion":"v1"}]}');
    const started = await tree.begin();
    expect(started.sink.names('Service')).toEqual(['default/a']);
    expect(messages(started).map(({ fields }) => [fields.file, fields.error])).toEqual([
      ['a.yaml', 'document 1 is no object'],
      ['a.yaml', 'document 2 has no kind'],
      ['a.yaml', 'document 4 has no apiVersion'],
      ['b.json', 'document 1, item 1, is no object'],
    ]);
  });

  it('between two files is settled by their names, and told of', async () => {
    await tree.put('b.yaml', service('web', { from: 'b' }));
    await tree.put('a.yaml', service('web', { from: 'a' }));
    const started = await tree.begin();
    const from = () => dig(started.sink.contents.get('Service')?.get('default/web'), 'spec', 'from');
    expect(from()).toBe('b');
    expect(messages(started)).toMatchObject([
      { level: 'warn', fields: { clash: 'Service default/web is in a.yaml and in b.yaml; the latter counts' } },
    ]);
    await unlink(join(tree.dir, 'b.yaml'));
    await poll(from).toBe('a');
    expect(changes(started)).toEqual(['put Service default/web']);
  });

  it('with the folder itself is no deletion of what was in it', async () => {
    await tree.put('a.yaml', service('a'));
    const started = await tree.begin({ pollMs: 20 });
    await rename(tree.dir, join(tree.parent, 'away'));
    await poll(() => messages(started)).toMatchObject([{ message: 'the folder cannot be read, nothing changes' }]);
    await pastDebounce();
    expect(messages(started)).toHaveLength(1);
    expect(changes(started)).toEqual([]);
    await tree.put('b.yaml', service('b'));
    await poll(() => started.sink.names('Service')).toEqual(['default/b']);
    await tree.put('b.yaml', service('c'));
    await poll(() => started.sink.names('Service')).toEqual(['default/c']);
  });

  it('with a sink that throws costs one object', async () => {
    const started = await tree.begin();
    started.sink.remove = () => {
      throw new Error('no');
    };
    await tree.put('a.yaml', service('a'), slice('a'));
    await poll(() => changes(started)).toHaveLength(2);
    await tree.put('a.yaml', service('b'), slice('b'));
    await poll(() => changes(started)).toHaveLength(4);
    expect(messages(started)).toHaveLength(2);
  });
});

it('a folder can be read once, with all that is wrong in it', async () => {
  await tree.put('a.yaml', service('web'), { ...service('no-namespace'), metadata: { name: 'no-namespace' } });
  await tree.put('b.yaml', service('web'), 'no object\n');
  await tree.put('c.yaml', 'a: b: c\n');
  await tree.put('d.json', '{"a": 1,\n  "b": [}');
  await tree.put('nameless.yaml', { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'default' } });
  const { objects, problems, clashes } = await readFolder(tree.dir, NODE);
  expect(objects.Service.map((object) => object.metadata)).toMatchObject([
    { name: 'web' },
    { name: 'no-namespace', namespace: 'default' },
    {},
  ]);
  expect(objects.Node).toEqual([]);
  expect(problems).toMatchObject([
    { file: 'b.yaml', error: 'document 2 is no object', unreadable: false },
    { file: 'c.yaml', error: expect.stringContaining('Nested mappings'), line: 1, column: 4, unreadable: true },
    { file: 'd.json', line: 2, unreadable: true },
  ]);
  expect(clashes).toHaveLength(1);
  await expect(readFolder(join(tree.dir, 'none'), NODE)).rejects.toThrow(/ENOENT/);
});
