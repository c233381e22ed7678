import { createDatabase } from './databases.mjs';
import { environmentOf, startBare, startGatehouse, startWithProbes } from './servers.mjs';

/** What a scenario has: the settings, and databases and servers that go when it ends. */
export class Context {
  #cleanups = [];

  constructor(name, settings) {
    this.name = name;
    Object.assign(this, settings);
  }

  /** An empty database of its own. @param label tells those of one scenario apart. */
  async makeDatabase(label = '') {
    const database = await createDatabase(`${this.name}${label && `_${label}`}`);
    this.#cleanups.push(() => database.drop());
    return database;
  }

  /** Gatehouse as it is started in production, ready. @param overrides environment variables. */
  gatehouse(database, overrides = {}) {
    return this.#server(startGatehouse(environmentOf(database, overrides)));
  }

  /** Gatehouse with `GET /open`, which does nothing and needs no token. */
  gatehouseWithProbes(database, overrides = {}) {
    return this.#server(startWithProbes(environmentOf(database, overrides)));
  }

  /** Nest on Fastify with `GET /probe`, nothing else. */
  bare() {
    return this.#server(startBare());
  }

  /** Something of the scenario's own that is to be ended. */
  onClose(cleanup) {
    this.#cleanups.push(cleanup);
  }

  /** Measures as often as was asked for. @param measure its object of numbers is a round. */
  async measure(measure) {
    const rounds = [];
    while (rounds.length < this.rounds) rounds.push(await measure(rounds.length));
    return rounds;
  }

  /** Ends what the scenario has made, the last first. */
  async close() {
    while (this.#cleanups.length > 0) await this.#cleanups.pop()();
  }

  async #server(starting) {
    const server = await starting;
    this.#cleanups.push(() => server.stop());
    return server;
  }
}
