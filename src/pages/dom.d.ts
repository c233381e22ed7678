/**
 * The part of the browser that account-page.js uses. The DOM library itself cannot be had for one file: it would make
 * `name`, `event` and `status` variables of every file of the server, and its `fetch` a browser's.
 */
export interface Browser {
  document: { getElementById(id: string): unknown };
  location: { readonly hash: string; readonly pathname: string; reload(): void };
  history: { replaceState(state: null, unused: '', url: string): void };
  addEventListener(type: 'hashchange', listener: () => void): void;
}

/** Any element of the pages. */
export interface Part {
  hidden: boolean;
  textContent: string;
  readonly dataset: Record<string, string | undefined>;
  focus(): void;
  setAttribute(name: string, value: string): void;
  removeAttribute(name: string): void;
  addEventListener(type: 'click' | 'submit', listener: (event: { preventDefault(): void }) => void): void;
}

/** An element for which somebody types. */
export interface Field extends Part {
  type: string;
  value: string;
}
