import { expect, test } from 'vitest';
import { layOut } from '../../../src/mail/message-layout.js';

const long = `https://app.example/verify-email#token=${'x'.repeat(200)}`;

test('wraps what people read and never a link', () => {
  const { text } = layOut(
    {
      subject: 'Title',
      blocks: [
        { type: 'paragraph', text: 'word '.repeat(30).trim() },
        { type: 'link', label: 'Open', url: long },
        {
          type: 'details',
          rows: [
            ['When', 'now'],
            ['Where', 'here'],
          ],
        },
      ],
    },
    'Example Bank',
  );
  expect(text.split('\n')).toEqual([
    'word word word word word word word word word word word word word word',
    'word word word word word word word word word word word word word word',
    'word word',
    '',
    long,
    '',
    'When: now',
    'Where: here',
    '',
    '--',
    'This message was sent by Example Bank. It was made by a machine, and',
    'nobody reads an answer to it.',
    '',
  ]);
});

test('escapes everything, the name of the service too', () => {
  const evil = `<script>"'&</script>`;
  const { html } = layOut(
    {
      subject: evil,
      blocks: [
        { type: 'paragraph', text: evil },
        { type: 'link', label: evil, url: `https://app.example/"><script>` },
        { type: 'details', rows: [[evil, evil]] },
      ],
    },
    evil,
  );
  expect(html).not.toContain('<script');
  expect(html.split('&lt;script&gt;&quot;&#39;&amp;&lt;/script&gt;')).toHaveLength(8);
  expect([...html.matchAll(/href="([^"]*)"/g)].map(([, url]) => url)).toEqual(
    Array(2).fill('https://app.example/&quot;&gt;&lt;script&gt;'),
  );
});

test('is the same page for everybody: a heading, a text that stands alone, no image', () => {
  const { html } = layOut({ subject: 'Title', blocks: [{ type: 'paragraph', text: 'Text' }] }, 'Example Bank');
  expect(html).toMatchInlineSnapshot(`
    "<!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <meta name="color-scheme" content="light dark">
    <title>Title</title>
    </head>
    <body style="margin:0;padding:16px;font-family:sans-serif;font-size:16px;line-height:1.5">
    <main style="max-width:36em;margin:0 auto">
    <h1 style="font-size:22px;line-height:1.3">Title</h1>
    <p>Text</p>
    <hr style="border:0;border-top:1px solid #808080">
    <p style="font-size:14px">This message was sent by Example Bank. It was made by a machine, and nobody reads an answer to it.</p>
    </main>
    </body>
    </html>
    "
  `);
});
