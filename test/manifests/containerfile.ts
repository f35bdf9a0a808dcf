/** A Containerfile, taken apart, and its stages carried out in folders as far as that goes without a container. */
import { execFile } from 'node:child_process';
import { cp, mkdir, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';

export interface Instruction {
  readonly name: string;
  readonly text: string;
}

export interface Stage {
  readonly image: string;
  /** Empty for the last one. */
  readonly name: string;
  readonly instructions: readonly Instruction[];
}

export interface Copy {
  /** The stage that it comes from; undefined = the build's context. */
  readonly from: string | undefined;
  readonly sources: readonly string[];
  readonly target: string;
}

export const parseStages = (text: string): readonly Stage[] => {
  const stages: { image: string; name: string; instructions: Instruction[] }[] = [];
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  for (const line of lines.join('\n').replaceAll('\\\n', '').split('\n')) {
    const [, name, rest = ''] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    if (name === undefined) {
      if (line.trim() !== '') throw new Error(`not an instruction: ${line}`);
      continue;
    }
    const [, image = '', as = ''] = /^(?:--platform=\S+ )?(\S+)(?: AS (\S+))?$/.exec(rest) ?? [];
    if (name === 'FROM') stages.push({ image, name: as, instructions: [] });
    else stages.at(-1)?.instructions.push({ name, text: rest.replace(/ +/g, ' ') });
  }
  return stages;
};

export const parseCopy = ({ text }: Instruction): Copy => {
  const words = text.split(' ');
  const from = words.find((word) => word.startsWith('--from='))?.slice('--from='.length);
  const paths = words.filter((word) => !word.startsWith('--'));
  return { from, sources: paths.slice(0, -1), target: paths.at(-1) ?? '' };
};

export interface Site {
  /** Of the build. */
  readonly context: string;
  /** Holds a folder for each stage, by its name. */
  readonly folder: string;
  /** In place of what a stage would install. */
  readonly modules?: string;
}

/** Copies and runs what a stage does, without what belongs to the operating system; gives the stage's working directory. */
export const carryOut = async (stage: Stage, { context, folder, modules }: Site): Promise<string> => {
  let directory = join(folder, stage.name);
  // the machine's own copies of packages, where it has them
  const environment: Record<string, string> = { npm_config_prefer_offline: 'true' };
  for (const instruction of stage.instructions) {
    const { name, text } = instruction;
    if (name === 'WORKDIR') directory = join(folder, stage.name, text);
    await mkdir(directory, { recursive: true });
    if (name === 'ARG') environment[text.split('=')[0] ?? ''] = text.split('=')[1] ?? '';
    if (name === 'COPY') await copy(parseCopy(instruction), directory, { context, folder });
    if (name !== 'RUN' || text.startsWith('apt-get')) continue;
    if (modules !== undefined && text.startsWith('npm ci')) await symlink(modules, join(directory, 'node_modules'));
    else await promisify(execFile)('sh', ['-ec', text], { cwd: directory, env: { ...process.env, ...environment } });
  }
  return directory;
};

/** As COPY does: the content of a folder into the target, a file under the target's name or into it. */
const copy = async ({ from, sources, target }: Copy, directory: string, site: Site): Promise<void> => {
  for (const source of sources) {
    const isInto = target.endsWith('/');
    const origin = from === undefined ? join(site.context, source) : join(site.folder, from, source);
    await cp(origin, join(directory, target, isInto ? basename(source) : ''), { recursive: true });
  }
};
