import type { Reporter, SerializedError, TestModule } from 'vitest/node';
import { leftBehind } from './left-behind.js';

/** The last lines of a run of Vitest: what was skipped and why, what was left behind, and one line of counts. */
export default class Summary implements Reporter {
  async onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): Promise<void> {
    const left = await leftBehind();
    for (const what of left) console.error(`Left behind: ${what}`);
    if (left.length > 0) process.exitCode = 1;
    // a hook or a module that fails is no test, but it is a failure
    const failures = [...modules, ...modules.flatMap((module) => [...module.children.allSuites()])];
    const counts = {
      passed: 0,
      failed: failures.reduce((sum, each) => sum + each.errors().length, unhandled.length + left.length),
      skipped: 0,
    };
    for (const test of modules.flatMap((module) => [...module.children.allTests()])) {
      const result = test.result();
      if (result.state !== 'pending') counts[result.state]++;
      if (result.state === 'skipped' && result.note) console.log(`Skipped: ${test.fullName}: ${result.note}`);
    }
    console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  }
}
