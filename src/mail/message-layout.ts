import { escapeHtml } from '../common/html.js';
import type { Block, Letter } from './messages.js';

const LINE_LENGTH = 72;

/** Both parts of a mail that say the same. */
export interface Layout {
  text: string;
  html: string;
}

/**
 * The one layout of all mails. The text part has lines of at most 72 characters, and a link alone on its line, however long
 * it is. The HTML part has inline styles alone, loads nothing, and escapes everything.
 *
 * @param service the service's name for people.
 */
export function layOut({ subject, blocks }: Letter, service: string): Layout {
  const footer = `This message was sent by ${service}. It was made by a machine, and nobody reads an answer to it.`;
  return {
    text: [...blocks.map(blockText), `--\n${wrap(footer)}`].join('\n\n') + '\n',
    html: page(subject, blocks.map(blockHtml).join('\n'), footer),
  };
}

function blockText(block: Block): string {
  switch (block.type) {
    case 'paragraph':
      return wrap(block.text);
    case 'link':
      return block.url;
    case 'details':
      return block.rows.map(([term, value]) => wrap(`${term}: ${value}`)).join('\n');
  }
}

function wrap(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line === undefined || line.length + 1 + word.length > LINE_LENGTH) lines.push(word);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines.join('\n');
}

const BUTTON =
  'display:inline-block;padding:12px 20px;border-radius:6px;background:#1f4fbf;color:#ffffff;font-weight:bold;' +
  'text-decoration:none';

function blockHtml(block: Block): string {
  switch (block.type) {
    case 'paragraph':
      return `<p>${escapeHtml(block.text)}</p>`;
    case 'link': {
      const url = escapeHtml(block.url);
      return (
        `<p><a href="${url}" style="${BUTTON}">${escapeHtml(block.label)}</a></p>\n` +
        `<p>The same link as text:<br>\n<a href="${url}" style="word-break:break-all">${url}</a></p>`
      );
    }
    case 'details':
      return `<dl>\n${block.rows.map(([term, value]) => `<dt><strong>${escapeHtml(term)}</strong></dt>\n<dd style="margin:0 0 8px">${escapeHtml(value)}</dd>`).join('\n')}\n</dl>`;
  }
}

function page(title: string, body: string, footer: string): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
</head>
<body style="margin:0;padding:16px;font-family:sans-serif;font-size:16px;line-height:1.5">
<main style="max-width:36em;margin:0 auto">
<h1 style="font-size:22px;line-height:1.3">${escapeHtml(title)}</h1>
${body}
<hr style="border:0;border-top:1px solid #808080">
<p style="font-size:14px">${escapeHtml(footer)}</p>
</main>
</body>
</html>
`;
}
