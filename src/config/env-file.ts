import { existsSync } from 'node:fs';

/** Reads `.env` of the working directory where there is one. What the environment has already wins. */
export function loadEnvFile(path = '.env'): void {
  if (existsSync(path)) process.loadEnvFile(path);
}
