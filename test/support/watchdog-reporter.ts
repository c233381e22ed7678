import { spawnSync } from 'node:child_process';
import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node';

/** More than any test is given, with its hooks. */
const LIMIT_MINUTES = 10;

/**
 * Ends a run that stands still, and says where it does. Every test has a time limit, which ends neither a thread that is
 * blocked nor a file that is never loaded to its end: such a run would go on for ever and show nothing. Says of a failure at
 * once what it is, and not when its file is over: a file whose tests all run into their time limits takes an hour.
 */
export default class WatchdogReporter implements Reporter {
  private readonly underWay = new Map<string, { place: string; since: number }>();

  onInit(vitest: Vitest): void {
    const timer = setInterval(() => {
      const before = performance.now() - LIMIT_MINUTES * 60_000;
      const standing = [...this.underWay.values()].filter(({ since }) => since < before);
      if (standing.length === 0) return;
      clearInterval(timer);
      for (const { place } of standing) console.error(`Nothing in ${LIMIT_MINUTES} minutes: ${place}`);
      // Whether it computes or waits, and for whom.
      console.error(spawnSync('ps', ['-eo', 'pid,ppid,stat,time,wchan:24,args'], { encoding: 'utf8' }).stdout);
      process.exitCode = 1;
      // Asked once more while it still waits for them, vitest kills the workers.
      void vitest.cancelCurrentRun('keyboard-input');
      void vitest.exit(true);
    }, 1_000).unref();
  }

  onTestModuleQueued = (module: TestModule): void => this.note(module, 'is loaded');
  onTestModuleStart = (module: TestModule): void => this.note(module, 'begins');
  onTestCaseReady = (test: TestCase): void => this.note(test.module, `"${test.fullName}" goes on`);
  onTestCaseResult(test: TestCase): void {
    const { state, errors = [] } = test.result();
    if (state === 'failed') console.error(`Failed: ${fileOf(test.module)}, "${test.fullName}": ${errors[0]?.message}`);
    this.note(test.module, `"${test.fullName}" is over`);
  }

  onTestModuleEnd = (module: TestModule): void => void this.underWay.delete(module.id);
  /** In watch mode nothing is under way then, for as long as nobody changes a file. */
  onTestRunEnd = (): void => this.underWay.clear();

  private note(module: TestModule, what: string): void {
    const place = `${fileOf(module)}, ${what}`;
    const since = performance.now();
    this.underWay.set(module.id, { place, since });
    this.underWay.set('run', { place: `the run; the last was: ${place}`, since });
  }
}

const fileOf = (module: TestModule): string => `${module.project.name} ${module.relativeModuleId}`;
