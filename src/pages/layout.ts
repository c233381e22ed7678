import { escapeHtml } from '../common/html.js';

/** Markup, as opposed to text: what `html` does not escape again. */
export class Html {
  constructor(readonly markup: string) {}
}

/** Builds markup. A value that is not markup itself is escaped, for element content and for quoted attributes. */
export function html(strings: TemplateStringsArray, ...values: (string | number | Html)[]): Html {
  return new Html(String.raw({ raw: strings }, ...values.map(markupOf)));
}

function markupOf(value: string | number | Html): string {
  return value instanceof Html ? value.markup : escapeHtml(String(value));
}

/**
 * A whole page. Its addresses are relative, because PUBLIC_URL may have a path that a proxy takes away.
 *
 * @param service the name that people know the service by.
 * @param main the `main` element.
 */
export function layout(title: string, service: string, main: Html): string {
  const { markup } = html`
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title} – ${service}</title>
        <link rel="stylesheet" href="assets/account-page.css" />
        <script type="module" src="assets/account-page.js"></script>
      </head>
      <body>
        <header>${service}</header>
        ${main}
      </body>
    </html>
  `;
  return `<!doctype html>${markup}`;
}
