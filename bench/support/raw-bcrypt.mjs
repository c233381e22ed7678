// A process that computes bcrypt hashes and nothing else, on all cores: what logins are held against. Each message
// `{ cost, concurrency, seconds }` is answered with hashes per second.
import bcrypt from 'bcrypt';
import os from 'node:os';
import { completionsPerSecond } from './load.mjs';

/** As long as what Gatehouse gives to bcrypt: base64 of a SHA-384. */
const PASSWORD = 'a'.repeat(64);

// The threads that come inherit it: as low as Gatehouse's, so that what else the machine does takes as much from either.
os.setPriority(os.constants.priority.PRIORITY_LOW);

process.on('message', ({ cost, concurrency, seconds }) => {
  const salt = bcrypt.genSaltSync(cost);
  void completionsPerSecond(concurrency, seconds, () => bcrypt.hash(PASSWORD, salt)).then((rate) => process.send(rate));
});
