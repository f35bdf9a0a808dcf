import { mkdir, rename, rm, symlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openFolder } from '../../../src/sources/files/folder.ts';
import { collectLog, NODE, node, service, serviceCIDR, slice } from '../support.ts';
import { changes, messages, pastDebounce, poll, useTree } from './tree.ts';

const tree = useTree();

describe('the first contents', () => {
  it('are all files below the folder, selected as the API server would', async () => {
    await tree.put('node.yaml', node(), node('other'));
    await tree.put('deep/er/services.yml', service('web'), service('headless', { clusterIP: 'None' }));
    await tree.put(
      'list.json',
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [slice('web-1'), serviceCIDR('c')] }),
    );
    await tree.put('foreign.yaml', service('foreign', {}, { 'service.kubernetes.io/service-proxy-name': 'x' }));
    await tree.put('notes.txt', 'not: [yaml');
    await tree.put('.hidden.yaml', service('hidden'));
    const { sink, log } = await tree.begin();
    expect(sink.calls).toEqual([
      'replace Node 1',
      'replace ServiceCIDR 1',
      'replace Service 1',
      'replace EndpointSlice 1',
    ]);
    expect(sink.names('Service')).toEqual(['default/web']);
    expect(log.lines).toMatchObject([{ level: 'info', fields: { dir: tree.dir } }]);
  });

  it('may be nothing at all', async () => {
    const { sink } = await tree.begin();
    expect(sink.calls).toEqual([
      'replace Node 0',
      'replace ServiceCIDR 0',
      'replace Service 0',
      'replace EndpointSlice 0',
    ]);
  });

  it('need a folder', async () => {
    const log = collectLog();
    await expect(openFolder({ dir: join(tree.dir, 'none'), nodeName: NODE, log })).rejects.toThrow(
      /cannot be read: ENOENT/,
    );
    await tree.put('file', '');
    await expect(openFolder({ dir: join(tree.dir, 'file'), nodeName: NODE, log })).rejects.toThrow(/file is no folder/);
  });
});

describe('changes', () => {
  it('are handed over one by one, in the order of kinds', async () => {
    await tree.put('all.yaml', slice('gone'), service('web'), service('same'), node());
    const started = await tree.begin();
    const web = service('web', { clusterIP: '10.0.0.2' });
    await tree.put('all.yaml', slice('new'), serviceCIDR('c'), web, service('same'), service('new'), node());
    await poll(() => changes(started)).toEqual([
      'put ServiceCIDR c',
      'put Service default/web',
      'put Service default/new',
      'put EndpointSlice default/new',
      'remove EndpointSlice default/gone',
    ]);
    expect(started.sink.contents.get('Service')?.get('default/web')).toMatchObject({ spec: { clusterIP: '10.0.0.2' } });
  });

  it('of files, folders and selection are seen', async () => {
    const started = await tree.begin();
    const { sink } = started;
    await tree.put('a.yaml', service('a'));
    await poll(() => sink.names('Service')).toEqual(['default/a']);
    await tree.put('sub/sub/b.yaml', service('b'));
    await poll(() => sink.names('Service')).toEqual(['default/a', 'default/b']);
    await tree.put('sub/sub/b.yaml', service('b'), service('c'));
    await poll(() => sink.names('Service')).toEqual(['default/a', 'default/b', 'default/c']);
    await rename(join(tree.dir, 'sub'), join(tree.dir, 'bus'));
    await rm(join(tree.dir, 'a.yaml'));
    await poll(() => sink.names('Service')).toEqual(['default/b', 'default/c']);
    await tree.put('bus/sub/b.yaml', service('b'));
    await poll(() => sink.names('Service')).toEqual(['default/b']);
    await tree.put('bus/sub/b.yaml', service('b', { clusterIP: 'None' }));
    await poll(() => sink.names('Service')).toEqual([]);
    await rm(join(tree.dir, 'bus'), { recursive: true });
    await pastDebounce();
    expect(changes(started).filter((call) => call.startsWith('put'))).toHaveLength(3);
  });

  it('of a file replaced by rename are seen, and a file written anew with the same contents is no change', async () => {
    await tree.put('a.yaml', service('a'));
    const started = await tree.begin();
    await tree.put('.draft', service('b'));
    await rename(join(tree.dir, '.draft'), join(tree.dir, 'a.yaml'));
    await poll(() => changes(started)).toEqual(['put Service default/b', 'remove Service default/a']);
    await tree.put('a.yaml', service('b'));
    await utimes(join(tree.dir, 'a.yaml'), 1, 1);
    await pastDebounce();
    expect(changes(started)).toHaveLength(2);
  });

  it('of a file that is emptied before it is written are seen when it is written', async () => {
    await tree.put('a.yaml', service('a'));
    const started = await tree.begin({ debounceMs: 250 });
    for (let i = 0; i < 5; i++) {
      await tree.put('a.yaml', '');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await tree.put('a.yaml', service('a', { type: 'NodePort' }));
    await poll(() => changes(started)).toEqual(['put Service default/a']);
  });

  it('of a file that is written without a pause are seen in the end', async () => {
    const started = await tree.begin();
    let isWriting = true;
    const write = async (): Promise<void> => {
      while (isWriting) {
        await tree.put('.draft', service('a'));
        await rename(join(tree.dir, '.draft'), join(tree.dir, 'a.yaml'));
      }
    };
    const writing = write();
    await poll(() => changes(started)).toEqual(['put Service default/a']);
    isWriting = false;
    await writing;
  });

  it('of a mounted ConfigMap, which swaps a link, are seen once and whole', async () => {
    const version = async (name: string, ...services: readonly string[]): Promise<void> => {
      await tree.put(`${name}/services.yaml`, ...services.map((each) => service(each)));
      await symlink(name, join(tree.dir, '..data_tmp'));
      await rename(join(tree.dir, '..data_tmp'), join(tree.dir, '..data'));
    };
    await version('..2024_1', 'a', 'b');
    await symlink('..data/services.yaml', join(tree.dir, 'services.yaml'));
    const started = await tree.begin();
    expect(started.sink.names('Service')).toEqual(['default/a', 'default/b']);
    await version('..2024_2', 'b', 'c');
    await poll(() => changes(started)).toEqual(['put Service default/c', 'remove Service default/a']);
    expect(messages(started)).toEqual([]);
  });

  it('are found by looking now and then where nothing tells of them', async () => {
    const elsewhere = join(tree.parent, 'elsewhere');
    await mkdir(elsewhere);
    await tree.put('link-1/a.yaml', service('a'));
    await rename(join(tree.dir, 'link-1'), join(elsewhere, 'one'));
    await tree.put('link-2/b.yaml', service('b'));
    await rename(join(tree.dir, 'link-2'), join(elsewhere, 'two'));
    await symlink('one', join(elsewhere, 'current'));
    await symlink(join(elsewhere, 'current'), join(tree.dir, 'linked'));
    const { sink } = await tree.begin({ pollMs: 30 });
    expect(sink.names('Service')).toEqual(['default/a']);
    await symlink('two', join(elsewhere, 'next'));
    await rename(join(elsewhere, 'next'), join(elsewhere, 'current'));
    await poll(() => sink.names('Service')).toEqual(['default/b']);
  });
});

it('stopping leaves nothing behind', async () => {
  const resources = () => process.getActiveResourcesInfo().filter((name) => name !== 'FSReqPromise').length;
  await tree.put('a/b.yaml', service('a'));
  const before = resources();
  const started = await tree.begin();
  await started.stop();
  await poll(resources).toBeLessThanOrEqual(before + 1); // the poll's own
});
