// Reads `docker compose config --format json` and prints the services of a profile, each with what it lacks.
import { readFileSync } from 'node:fs';

const { services } = JSON.parse(readFileSync(0, 'utf8'));
const isOurs = (image) => image.endsWith('-api');
const lacks = ({ image, user, ...service }) =>
  Object.entries({
    'a read-only root': service.read_only,
    'no capabilities': service.cap_drop?.join() === 'ALL' && !service.cap_add,
    'no new privileges': service.security_opt?.includes('no-new-privileges:true'),
    'limits of memory, processes and CPU': service.mem_limit && service.pids_limit && service.cpu_quota,
    'a user, in the file or the image': isOurs(image) || /^[1-9]\d*:\d+$/.test(user),
    'an exact version': isOurs(image) || /:v?\d+\.\d+\.\d+$/.test(image),
    'a healthcheck, or none on purpose': service.healthcheck,
    'a port on the loopback alone': (service.ports ?? []).every(({ host_ip }) => host_ip === '127.0.0.1'),
  }).flatMap(([what, isThere]) => (isThere ? [] : [what]));

const ofProfiles = Object.entries(services).filter(([, { profiles }]) => profiles);
console.log(
  ofProfiles
    .map(([name, service]) => [name, ...lacks(service)].join(': '))
    .sort()
    .join(' '),
);
