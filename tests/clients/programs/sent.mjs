// What a library sent, taken from its own requests: one JSON line for each call, as the library built it.

import { createRequire } from "node:module";
import { writeFileSync } from "node:fs";

// Where the test tells the programs what to do.
export const { WRITE_KEY, URL: ENDPOINT, SENT, COUNT, PACKAGES } = process.env;
export const count = Number(COUNT);

// The libraries are installed outside the sources.
export const require = createRequire(`${PACKAGES}/`);

export class Sent {
  lines = [];
  ids = new Set();
  answers = new Map();

  // One request's body: a batch, or a single call.
  take(text) {
    const body = JSON.parse(text);
    for (const call of body.batch ?? [body]) {
      if (this.ids.has(call.messageId)) continue; // sent again
      this.ids.add(call.messageId);
      this.lines.push(JSON.stringify({ sentAt: call.sentAt ?? body.sentAt, call }));
    }
  }

  answered(status) {
    this.answers.set(status, (this.answers.get(status) ?? 0) + 1);
  }

  // Writes the file, unless the library sent another number of calls than it was given.
  finish(given) {
    const answers = JSON.stringify([...this.answers]);
    if (this.ids.size !== given) fail(`${given} calls were made and ${this.ids.size} sent; answers: ${answers}`);
    if ([...this.answers.keys()].some((status) => status !== 200)) fail(`not every request was answered 200: ${answers}`);
    writeFileSync(SENT, this.lines.map((line) => `${line}\n`).join(""));
    console.log(`${given} calls sent`);
  }
}

export function fail(why) {
  console.error(why);
  process.exit(1);
}
