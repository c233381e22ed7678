import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REQUIREMENTS, type Section } from './requirements.js';

/**
 * A comment line says what a test proves: directly above the test, the group of tests or the check of a script, or at the
 * top of a file that proves it as a whole.
 *
 *     // Proves ASVS 7.4.1, PCI 8.3.4: what is promised
 *     // Proves ours (Sessions): a promise that no standard asks for, and the section that it belongs to
 *
 * The same promise may stand above many tests, always with the same sources. Its section is that of its first source.
 * "Proves the …" is prose.
 */
const TAG = /^\s*(?:\/\/|#) Proves ((?:[A-Z0-9]|ours \(|draft-)[^:]*): (.+)$/;
const COMMENT = /^\s*(?:\/\/|#|\*|\/\*\*)/;
const OURS = /^ours \((.+)\)$/;

export interface Tag {
  file: string;
  line: number;
  sources: string[];
  promise: string;
  /** The first line below that is no comment. */
  above: string;
}

/** Everything that may prove something: what a run of the suite or of CI runs. */
export function provingFiles(): string[] {
  const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(ts|mjs)$|\/run$/.test(file))
    .map((file) => join('test', file));
  // These two are about the comments; they have examples of them.
  return [...files.filter((file) => !/\/(security-table|security\.test)\.ts$/.test(file)), '.ci/run'].sort();
}

export function tagsIn(file: string, text: string): Tag[] {
  const lines = text.split('\n');
  return lines.flatMap((line, index) => {
    const match = TAG.exec(line);
    if (!match) return [];
    const sources = (match[1] as string).split(',').map((source) => source.trim());
    const above = lines.slice(index + 1).find((next) => !COMMENT.test(next)) ?? '';
    return [{ file, line: index + 1, sources, promise: match[2] as string, above }];
  });
}

export function allTags(): Tag[] {
  return provingFiles().flatMap((file) => tagsIn(file, readFileSync(file, 'utf8')));
}

const SECTIONS = Object.keys(REQUIREMENTS) as Section[];

/** The section of a source, undefined when it is in no list. */
export function sectionOf(source: string): Section | undefined {
  const ours = OURS.exec(source)?.[1];
  if (ours !== undefined) return SECTIONS.find((section) => section === ours);
  return SECTIONS.find((section) => REQUIREMENTS[section].includes(source));
}

interface Row {
  section: Section;
  sources: string[];
  promise: string;
  files: Set<string>;
}

/** The promises by section, each section as a table. */
export function promiseTables(tags = allTags()): string {
  const rows = new Map<string, Row>();
  for (const { sources, promise, file } of tags) {
    const section = sectionOf(sources[0] as string);
    if (!section) continue; // a test of its own says so
    const row = rows.get(promise) ?? { section, sources, promise, files: new Set() };
    rows.set(promise, row);
    row.files.add(file);
  }
  const tables = SECTIONS.map((section, index) => {
    const own = [...rows.values()].filter((row) => row.section === section).sort(byFirstSource);
    if (own.length === 0) return '';
    const heading = `### ${String.fromCharCode(65 + index)}. ${section}\n\n| promise | source | test |\n| --- | --- | --- |\n`;
    return heading + own.map(lineOf).join('');
  });
  return `\n${tables.filter(Boolean).join('\n')}\n`;
}

/** As the list of requirements has them, ours last. */
function byFirstSource(one: Row, other: Row): number {
  const placeOf = ({ section, sources }: Row) => {
    const place = REQUIREMENTS[section].indexOf(sources[0] as string);
    return place === -1 ? Infinity : place;
  };
  const difference = placeOf(one) - placeOf(other);
  if (difference !== 0 && !Number.isNaN(difference)) return difference;
  return one.promise < other.promise ? -1 : 1;
}

function lineOf({ sources, promise, files }: Row): string {
  const named = sources.filter((source) => !OURS.test(source));
  const links = [...files].sort().map((file) => `[\`${nameOf(file)}\`](../${file})`);
  return `| ${promise.replaceAll('|', '\\|')} | ${named.join(', ')} | ${links.join(', ')} |\n`;
}

const nameOf = (file: string) => file.replace(/^test\//, '').replace(/(\.test)?\.(ts|mjs)$/, '');

/** The tables of docs/security.md that are written by hand: their headings, and whether a row may be about a part alone. */
const HAND_WRITTEN = { Deviations: true, 'Not shown by a test': false, 'To come': false };
const IN_PART = / in part$/;

/**
 * What is wrong with the comments and with the tables that are written by hand: a source that is in no list, a comment that
 * stands above nothing, a requirement that is neither proven nor in a table, or both.
 */
export function problemsOf(tags: Tag[], document: string): string[] {
  const problems: string[] = [];
  const first = new Map<string, Tag>();
  for (const tag of tags) {
    const place = `${tag.file}:${tag.line}`;
    for (const source of tag.sources) if (!sectionOf(source)) problems.push(`${place}: ${source} is in no list`);
    if (!standsAboveATest(tag)) problems.push(`${place}: there is no test below`);
    const other = first.get(tag.promise) ?? tag;
    first.set(tag.promise, other);
    const [ours, theirs] = [tag, other].map(({ sources }) => sources.join());
    if (ours !== theirs) problems.push(`${place}: ${other.file}:${other.line} has other sources for this promise`);
  }

  const proven = new Set(tags.flatMap(({ sources }) => sources));
  const listed = new Set<string>();
  for (const [heading, mayBeInPart] of Object.entries(HAND_WRITTEN)) {
    for (const entry of entriesUnder(heading, document)) {
      const source = entry.replace(IN_PART, '');
      const isInPart = source !== entry;
      if (!sectionOf(source)) problems.push(`${heading}: ${source} is in no list`);
      if (listed.has(source)) problems.push(`${heading}: ${source} is there twice`);
      if (isInPart && !mayBeInPart) problems.push(`${heading}: ${entry} belongs to the deviations`);
      if (isInPart !== proven.has(source)) {
        problems.push(`${heading}: ${entry}, but a test ${isInPart ? 'shows none of it' : 'shows it'}`);
      }
      listed.add(source);
    }
  }
  for (const source of Object.values(REQUIREMENTS).flat()) {
    if (!proven.has(source) && !listed.has(source)) problems.push(`${source} is neither proven nor in a table`);
  }
  return problems;
}

function standsAboveATest({ file, above }: Tag): boolean {
  if (!file.endsWith('.test.ts')) return above.trim() !== '';
  return /^\s*(?:(?:test|describe)\w*[.(<]|import )/.test(above);
}

/** What stands in the first column of the table under a heading. */
function entriesUnder(heading: string, document: string): string[] {
  const [, chapter = ''] = document.split(`\n## ${heading}\n`);
  const rows = (chapter.split('\n## ')[0] as string).split('\n').filter((line) => line.startsWith('| '));
  return rows.slice(2).flatMap((row) =>
    (row.split('|')[1] as string)
      .split(',')
      .map((entry) => entry.trim())
      .filter(Boolean),
  );
}
