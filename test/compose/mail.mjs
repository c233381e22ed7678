// Waits for the mail of a sign-up to an address and prints the token of its link.
//   node test/compose/mail.mjs http://127.0.0.1:8025 ada@example.com SECONDS
import { setTimeout as sleep } from 'node:timers/promises';

const [mailpit, address, seconds] = process.argv.slice(2);
const call = async (path) => (await fetch(`${mailpit}/api/v1/${path}`, { signal: AbortSignal.timeout(5_000) })).json();

async function findToken() {
  const { messages } = await call(`search?query=${encodeURIComponent(`to:${address}`)}`);
  const mail = messages.find(({ Subject }) => Subject === 'Confirm your e-mail address');
  return mail && /#token=([\w-]{43})/.exec((await call(`message/${mail.ID}`)).Text)?.[1];
}

// On Node 20 a fetch whose connection is closed at once, as by the port of a container that is starting, may never settle;
// nothing else would keep this process from ending then.
const awake = setInterval(() => {}, 1_000);
const end = Date.now() + Number(seconds) * 1000;
for (let token; !token; await sleep(300)) {
  token = await findToken().catch(() => undefined); // it may be starting
  if (token) console.log(token);
  else if (Date.now() > end) process.exit(1);
}
clearInterval(awake);
