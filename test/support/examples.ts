import { readFileSync } from 'node:fs';

const DOCUMENT = 'docs/integrate.md';
const BLOCK = /<!-- example ([\w.-]+) -->\n```\w+\n([^]*?)```/g;

/**
 * A fenced block of docs/integrate.md, the one below `<!-- example NAME -->`, as it stands there but for what is replaced:
 * the addresses that a test cannot have.
 */
export function example(name: string, replacements: Record<string, string> = {}): string {
  const found = [...readFileSync(DOCUMENT, 'utf8').matchAll(BLOCK)].filter(([, its]) => its === name);
  if (found.length !== 1) throw new Error(`${DOCUMENT} has ${found.length} examples ${name}`);
  let text = found[0]?.[2] as string;
  for (const [theirs, ours] of Object.entries(replacements)) {
    if (!text.includes(theirs)) throw new Error(`the example ${name} has no ${theirs}`);
    text = text.replaceAll(theirs, ours);
  }
  return text;
}

/** The names of all examples, in their order. */
export function exampleNames(): string[] {
  return [...readFileSync(DOCUMENT, 'utf8').matchAll(BLOCK)].map(([, name]) => name as string);
}
