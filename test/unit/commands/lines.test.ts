import { expect, test } from 'vitest';
import { readLines } from '../../../src/commands/lines.js';

const MAX = 8;

/** The lines of a text that arrives in chunks of `size` bytes; null for one that is too long. */
async function linesOf(text: string | Buffer, size: number): Promise<[number, string | null, number][]> {
  const bytes = Buffer.from(text);
  async function* chunks() {
    for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
  }
  const lines: [number, string | null, number][] = [];
  for await (const { number, bytes, offset } of readLines(chunks(), MAX)) {
    lines.push([number, bytes?.toString() ?? null, offset]);
  }
  return lines;
}

// However the chunks fall.
test.each([1, 2, 3, 7, 1000])('in chunks of %d bytes', async (size) => {
  const read = (text: string) => linesOf(text, size);
  expect(await read('')).toEqual([]);
  expect(await read('\n\r\n\n')).toEqual([]);
  expect(await read('one\ntwo')).toEqual([[1, 'one', 4], [2, 'two', 7]]); // prettier-ignore
  expect(await read('one\r\n\r\ntwo\r\n')).toEqual([[1, 'one', 5], [3, 'two', 12]]); // prettier-ignore
  expect(await read('\ufeffone\n\ufefftwo')).toEqual([[1, 'one', 7], [2, '\ufefftwo', 13]]); // prettier-ignore
  expect(await read('\ufeff\n\ufeff')).toEqual([[2, '\ufeff', 7]]);
  expect((await read('é\rx\r\r\n'))[0]?.[1]).toBe('é\rx\r');
});

test.each([1, 3, 1000])('the longest line and the first that is too long, in chunks of %d bytes', async (size) => {
  const textsOf = async (text: string) => (await linesOf(text, size)).map(([, text]) => text);
  const longest = 'x'.repeat(MAX);
  expect(await textsOf(`\ufeff${longest}\r\n${longest}\r\n${longest}`)).toEqual([longest, longest, longest]);
  const [more, most] = [`${longest}xxxx`, 'y'.repeat(100)];
  const text = [`${longest}x`, `${longest}xx`, more, most, 'ok', most].join('\n');
  expect(await textsOf(text)).toEqual([null, null, null, null, 'ok', null]);
});
