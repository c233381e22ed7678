import { createRequire } from 'node:module';

// What `import` would load, but at once and in turn: 650 of the files that a start needs are ES modules, and with a promise
// for each it takes a sixth more processor time.
createRequire(import.meta.url)('./server.js');
