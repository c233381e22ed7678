const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/** A line of a file, without its end. */
export interface Line {
  /** From 1. */
  number: number;
  /** Null when it is longer than it may be. */
  bytes: Buffer | null;
  /** So many bytes of the file are read with it. */
  offset: number;
}

/**
 * The lines of a stream, empty ones left out, a byte-order mark and carriage returns at line ends taken off. Holds one
 * chunk and one line: of a longer one the rest is passed over.
 */
export async function* readLines(stream: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Line, void, void> {
  const line = new GrowingLine(maxBytes);
  let number = 0;
  let offset = 0;
  for await (const chunk of stream) {
    for (let start = 0; start < chunk.length;) {
      const newline = chunk.indexOf(NEWLINE, start);
      const end = newline === -1 ? chunk.length : newline;
      line.add(chunk.subarray(start, end));
      start = end + 1;
      if (newline === -1) continue;
      number += 1;
      const bytes = line.take(number === 1);
      if (bytes?.length !== 0) yield { number, bytes, offset: offset + start };
    }
    offset += chunk.length;
  }
  number += 1;
  const bytes = line.take(number === 1);
  if (bytes?.length !== 0) yield { number, bytes, offset };
}

class GrowingLine {
  private parts: Buffer[] = [];
  private length = 0;
  /** Room for what is taken off at both ends. */
  private readonly room: number;

  constructor(private readonly maxBytes: number) {
    this.room = maxBytes + BYTE_ORDER_MARK.length + 1;
  }

  add(part: Buffer): void {
    this.length += part.length;
    if (this.length <= this.room) this.parts.push(part);
    else this.parts = [];
  }

  /** The line, null when it is too long, and a new one begins. */
  take(isFirst: boolean): Buffer | null {
    const isHeld = this.length <= this.room;
    let bytes = Buffer.concat(this.parts);
    this.parts = [];
    this.length = 0;
    if (!isHeld) return null;
    if (isFirst && bytes.subarray(0, 3).equals(BYTE_ORDER_MARK)) bytes = bytes.subarray(3);
    if (bytes.at(-1) === CARRIAGE_RETURN) bytes = bytes.subarray(0, -1);
    return bytes.length <= this.maxBytes ? bytes : null;
  }
}
