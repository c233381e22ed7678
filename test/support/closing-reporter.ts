import type { Reporter, TestModule } from 'vitest/node';

/**
 * Says in the last lines what was not run: databases that are not there, tests that were skipped. In CI that is a
 * failure.
 */
export default class ClosingReporter implements Reporter {
  constructor(private readonly options: { missing: string[] }) {}

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string) => tests.filter((test) => test.result().state === state).length;
    const brokenFiles = modules.filter((module) => module.errors().length > 0).length;
    const skipped = tests.filter((test) => test.result().state === 'skipped');
    const notRun = [...this.options.missing, ...skipped.map((test) => `skipped: ${test.fullName}`)];
    for (const reason of notRun) console.log(`Not run: ${reason}`);
    if (notRun.length > 0 && process.env['CI']) {
      console.log('In CI everything must run.');
      process.exitCode = 1;
    }
    console.log(
      `${count('passed')} passed, ${count('failed') + brokenFiles + errors.length} failed, ${skipped.length} skipped`,
    );
  }
}
