/** Composition root: argv to command. The only file that knows all others, and the only one that ends the process. */
import { writeFile } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { PROFILES } from './backends/index.ts';
import type { DiffOptions } from './commands/diff.ts';
import type { DumpOptions } from './commands/dump.ts';
import type { ExplainOptions } from './commands/explain.ts';
import { checkRights } from './commands/rights.ts';
import { checkSource, setUp } from './commands/setup.ts';
import { VERSION } from './commands/version.ts';
import { normalizeArgv } from './config/argv.ts';
import { addFlags, flagProblem, readFlags, versionAsked } from './config/flags.ts';
import { toYaml } from './config/write.ts';
import { LogOutputs } from './observe/log-output.ts';

/** Exit status of diff(1) for trouble. */
const TROUBLE = 2;
const FAMILIES = { ipv4: 'IPv4', ipv6: 'IPv6' } as const;

/**
 * Aborts on the signals by which a node tells its processes to end. The listeners stay: execa's own, there while a
 * program of ours runs, end the process as soon as they find themselves alone.
 */
const untilStopped = (): AbortSignal => {
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => stop.abort(name));
  return stop.signal;
};

const runCommand = async (command: Command): Promise<void> => {
  if (versionAsked(readFlags(command)) !== undefined) {
    process.stdout.write(`pointsman ${VERSION}\n`);
    return;
  }
  const outputs = new LogOutputs();
  const setup = await setUp(command, { outputs });
  const { config } = setup;
  if (config.writeConfigTo !== undefined) {
    await writeFile(config.writeConfigTo, await toYaml(config));
  } else if (config.pointsman.dryRun) {
    const { dump } = await import('./commands/dump.ts');
    await dump(setup, { output: 'rules', family: 'IPv4', signal: untilStopped() });
  } else if (config.cleanup) {
    const { cleanup } = await import('./commands/cleanup.ts');
    await cleanup(setup, { modes: PROFILES, whose: 'all' }, untilStopped());
  } else if (config.initOnly) {
    await checkRights(setup);
    const { init } = await import('./commands/init.ts');
    await init(setup, untilStopped());
  } else {
    await checkRights(setup);
    const { runWithReloads } = await import('./commands/reload.ts');
    const { run } = await import('./commands/run.ts');
    const { Life } = await import('./observe/life.ts');
    const life = new Life({ linesLost: () => outputs.lost });
    await runWithReloads(
      {
        first: setup,
        load: () => setUp(command, { outputs }),
        check: async (next) => {
          await checkRights(next);
          await checkSource(next);
        },
        run: (next, signal) => run(next, life, signal),
        life,
      },
      untilStopped(),
    );
  }
};

const dumpCommand = async (command: Command): Promise<void> => {
  const options = command.opts<{
    node?: string;
    output: DumpOptions['output'];
    ipFamily: keyof typeof FAMILIES;
    tool?: string;
  }>();
  const { dump } = await import('./commands/dump.ts');
  const family = FAMILIES[options.ipFamily];
  const setup = await setUp(command, { nodeName: options.node, quiet: true });
  await dump(setup, { output: options.output, family, tool: options.tool, signal: untilStopped() });
};

/** Ends as diff(1) does: 0 = no difference, 1 = some, 2 = trouble. */
const diffCommand = async (command: Command): Promise<void> => {
  const { output, ipFamily } = command.opts<{ output: DiffOptions['output']; ipFamily?: keyof typeof FAMILIES }>();
  const { diff } = await import('./commands/diff.ts');
  const setup = await setUp(command, { quiet: true });
  const family = ipFamily === undefined ? undefined : FAMILIES[ipFamily];
  const isSame = await diff(setup, { output, family, signal: untilStopped() });
  process.exitCode = isSame ? 0 : 1;
};

/** Ends with 1 where the Service is not served. */
const explainCommand = async (command: Command): Promise<void> => {
  const { node, output, ipFamily } = command.opts<{
    node?: string;
    output: ExplainOptions['output'];
    ipFamily?: keyof typeof FAMILIES;
  }>();
  const { explain } = await import('./commands/explain.ts');
  const setup = await setUp(command, { nodeName: node, quiet: true });
  const family = ipFamily === undefined ? undefined : FAMILIES[ipFamily];
  const [service = ''] = command.args;
  const isServed = await explain(setup, { service, output, family, signal: untilStopped() });
  process.exitCode = isServed ? 0 : 1;
};

const cleanupCommand = async (command: Command): Promise<void> => {
  const { cleanup } = await import('./commands/cleanup.ts');
  const setup = await setUp(command, { quiet: true });
  const isModeAsked = command.getOptionValueSource('proxyMode') === 'cli';
  const modes = isModeAsked ? [setup.config.profile] : PROFILES;
  const { kubeProxy } = command.opts<{ kubeProxy?: true }>();
  await cleanup(setup, { modes, whose: kubeProxy ? 'all' : 'ours' }, untilStopped());
};

const demoCommand = async (): Promise<void> => {
  const { demo } = await import('./commands/demo.ts');
  await demo(untilStopped());
};

const withFlags = (name: string, description: string, run: (command: Command) => Promise<void>): Command => {
  const command = new Command(name).description(description);
  addFlags(command);
  return command.action(() => run(command));
};

const program = new Command('pointsman')
  .description('A kube-proxy replacement: Services and EndpointSlices compiled into kernel rules.')
  .addCommand(withFlags('run', 'watch the cluster and keep the rules of this node (default)', runCommand), {
    isDefault: true,
  })
  .addCommand(
    withFlags('dump', 'print the complete rules without touching anything', dumpCommand)
      .option('--node <name>', 'the node whose rules to print (default: this host)')
      .addOption(new Option('--ip-family <family>', 'whose rules').choices(Object.keys(FAMILIES)).default('ipv4'))
      .option('--tool <name>', 'only the part that this tool would read, such as ipvsadm')
      .addOption(new Option('-o, --output <format>', 'form').choices(['rules', 'json']).default('rules')),
  )
  .addCommand(
    withFlags(
      'diff',
      'print how the kernel differs from what is wanted, without touching anything; status 0 = no difference, 1 = some, 2 = trouble',
      diffCommand,
    )
      .addOption(new Option('--ip-family <family>', 'whose rules (default: both)').choices(Object.keys(FAMILIES)))
      .addOption(new Option('-o, --output <format>', 'form').choices(['rules', 'json']).default('rules')),
  )
  .addCommand(
    withFlags('explain', 'tell how one Service is served on this node, and why not otherwise', explainCommand)
      .argument('<service>', 'namespace/name, or namespace/name:port')
      .option('--node <name>', 'the node on which (default: this host)')
      .addOption(new Option('--ip-family <family>', 'over which (default: both)').choices(Object.keys(FAMILIES)))
      .addOption(new Option('-o, --output <format>', 'form').choices(['text', 'json']).default('text')),
  )
  .addCommand(
    withFlags('cleanup', 'remove all rules of pointsman, or those of one --proxy-mode', cleanupCommand).option(
      '--kube-proxy',
      'also what kube-proxy made',
    ),
  )
  .addCommand(new Command('demo').description('show it at work between network namespaces').action(demoCommand));

for (const command of [program, ...program.commands]) {
  command.exitOverride().configureOutput({ outputError: () => undefined });
}

const argv = [...normalizeArgv(process.argv.slice(2))];

try {
  await program.parseAsync(argv, { from: 'user' });
} catch (error) {
  const isHelp = error instanceof Error && 'exitCode' in error && error.exitCode === 0;
  if (!isHelp) {
    process.stderr.write(
      `pointsman: ${flagProblem(error) ?? (error instanceof Error ? error.message : String(error))}\n`,
    );
    process.exitCode = argv[0] === 'diff' ? TROUBLE : 1;
  }
}
