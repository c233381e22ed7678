/** The style of the pages. A constant, because the build copies nothing that is not a script. */
export const STYLESHEET = `
:root {
  color-scheme: light dark;
  --page: #f4f5f7;
  --card: #ffffff;
  --text: #1b1f24;
  --quiet: #535c66;
  --line: #7a838d;
  --accent: #1a56b8;
  --on-accent: #ffffff;
  --note: #1a56b8;
  --good: #176b36;
  --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171a;
    --card: #1e2226;
    --text: #e9ecef;
    --quiet: #a9b2bb;
    --line: #8a939c;
    --accent: #8ab4f8;
    --on-accent: #10213d;
    --note: #8ab4f8;
    --good: #81c995;
    --bad: #f2a19b;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none; }
body {
  margin: 0 auto;
  padding: 1.5rem 1rem;
  max-width: 34rem;
  background: var(--page);
  color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere;
}
header { margin: 0 0 1rem; color: var(--quiet); font-weight: 600; }
main { padding: 1.5rem; border-radius: 0.5rem; background: var(--card); }
h1 { margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.25; text-wrap: balance; }
p, ul { margin: 0 0 1rem; }
ul { padding-left: 1.25rem; color: var(--quiet); }
label { display: block; margin-bottom: 0.25rem; font-weight: 600; }
input, button { min-height: 2.75rem; padding: 0.5rem 0.75rem; border-radius: 0.375rem; font: inherit; }
input { width: 100%; border: 1px solid var(--line); background: var(--card); color: var(--text); }
input[aria-invalid="true"] { border: 2px solid var(--bad); }
button { border: 1px solid var(--accent); background: var(--card); color: var(--accent); cursor: pointer; }
button[type="submit"] { width: 100%; background: var(--accent); color: var(--on-accent); font-weight: 600; }
button[aria-pressed="true"]::before { content: "✓ " / ""; }
#renewal input, .with-button { margin-bottom: 1rem; }
.with-button { display: flex; flex-wrap: wrap; gap: 0.5rem; }
.with-button input { flex: 1 1 12rem; width: auto; min-width: 0; }
[aria-busy="true"] button { cursor: progress; opacity: 0.6; }
#message:empty { margin: 0; }
#message:not(:empty) { padding: 0.75rem; border-left: 0.25rem solid var(--note); background: var(--page); }
#message[data-kind="good"] { border-color: var(--good); }
#message[data-kind="bad"] { border-color: var(--bad); }
:focus-visible, #message:focus { outline: 3px solid var(--accent); outline-offset: 2px; }
`;
