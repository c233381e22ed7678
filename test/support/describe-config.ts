import { readFileSync } from 'node:fs';
import { Config } from '../../src/config/config.js';
import { configFields, SECRETS, variableOf } from '../../src/config/load-config.js';

interface Variable {
  name: string;
  text: string;
  isSecret: boolean;
  fallback: string;
}

/** The variables with their docblocks, read from the source of the class, in its order. */
function variables(): Variable[] {
  const source = readFileSync('src/config/config.ts', 'utf8');
  const defaults = new Config() as unknown as Record<string, unknown>;
  return configFields().map((field) => {
    // The docblock, then decorators, then the field.
    const match = new RegExp(`/\\*\\*((?:(?!\\*/)[^])*)\\*/\\s*(?:@(?:(?!/\\*\\*)[^])*?\\n)?  ${field}(?::| =)`).exec(
      source,
    );
    if (!match) throw new Error(`${field} has no docblock`);
    const text = (match[1] as string).replace(/\s*\n\s*\* ?/g, ' ').trim();
    // This machine's number of cores is no default to write down.
    const fallback = field === 'hashConcurrency' ? '' : String(defaults[field]);
    return { name: variableOf(field), text, isSecret: SECRETS.includes(field), fallback };
  });
}

export function environmentTable(): string {
  const rows = variables().map(
    ({ name, text, isSecret, fallback }) =>
      `| \`${name}\`${isSecret ? ' \\*' : ''} | ${fallback && `\`${fallback}\``} | ${text.replaceAll('|', '\\|')} |\n`,
  );
  return `\n| variable | default | meaning |\n| --- | --- | --- |\n${rows.join('')}\n\\* also as \`NAME_FILE\`: the path of a file that holds it.\n\n`;
}

export function environmentExample(): string {
  const entries = variables().map(({ name, text, isSecret, fallback }) => {
    const lines = wrap(isSecret ? `${text} Also as ${name}_FILE.` : text, 110);
    return `${lines.map((line) => `# ${line}\n`).join('')}#${name}=${fallback}\n`;
  });
  return `# Gatehouse reads its configuration from the environment, and from a file .env where there is one.\n# Everything has a default in development. Uncomment what you change.\n\n${entries.join('\n')}`;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) as string;
    if (line !== '' && line.length + word.length >= width) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}
