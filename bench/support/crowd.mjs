// A process in which people log in, each again and again without a pause, so that whoever measures does not wait for it.
// `{ server, people, atATime }` begins; the next message ends it, is answered with the number of logins, and so on.
import { once } from 'node:events';
import os from 'node:os';
import { inCircles, logIn } from './accounts.mjs';

// Those people are elsewhere: what they take of this machine is to cost the others as little as it can.
os.setPriority(os.constants.priority.PRIORITY_LOW);

/** Goes on from storm to storm, so that nobody comes more often than the others. */
let nextPerson;

for (;;) {
  const [{ server, people, atATime }] = await once(process, 'message');
  let isOver = false;
  let logins = 0;
  nextPerson ??= inCircles(people);
  const worker = async () => {
    while (!isOver) {
      await logIn(server, nextPerson());
      logins++;
    }
  };
  const all = Promise.all(Array.from({ length: atATime }, worker));
  all.catch((error) => {
    console.error(error);
    process.exit(1);
  });
  await once(process, 'message');
  isOver = true;
  await all;
  process.send(logins);
}
