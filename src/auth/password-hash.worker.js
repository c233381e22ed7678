// Runs in a thread of its own, so that neither the event loop nor libuv's shared pool ever waits for bcrypt. Plain
// JavaScript, because a thread starts from a file and the tests run the sources as they are.
import bcrypt from 'bcrypt';
import os from 'node:os';

// On Linux a priority belongs to a thread: this lowers ours alone. Elsewhere it would lower the whole process.
if (process.platform === 'linux') os.setPriority(0, os.constants.priority.PRIORITY_LOW);

/** @typedef {{ password: string, cost: number } | { password: string, hash: string }} HashTask */

/**
 * Hashes, or compares with a hash.
 *
 * @param {HashTask} task
 * @returns {string | boolean}
 */
export default function run(task) {
  return 'hash' in task ? bcrypt.compareSync(task.password, task.hash) : bcrypt.hashSync(task.password, task.cost);
}
