// Receives with standardwebhooks, the scheme's own library: every request has to be proven by each of two secrets (one is being
// rotated out), and by no other; a body that was changed must not be. The calls are sent here too, so that all of them are known.

import { createServer } from "node:http";
import { calls } from "./calls.mjs";
import { ENDPOINT, SENT, WRITE_KEY, count, fail, require } from "./sent.mjs";
import { writeFileSync } from "node:fs";

const { Webhook } = require("standardwebhooks");
const { PORT, SECRETS } = process.env;

const hooks = SECRETS.split(" ").map((secret) => new Webhook(secret));
const stranger = new Webhook("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
const requests = new Map();
const lines = [];

const refuses = (hook, body, headers) => {
  try {
    hook.verify(body, headers);
    return false;
  } catch {
    return true;
  }
};

const server = createServer(async (request, response) => {
  let body = "";
  request.setEncoding("utf8");
  for await (const part of request) body += part;
  for (const hook of hooks) {
    if (refuses(hook, body, request.headers)) fail(`a request is not proven: ${body.slice(0, 200)}`);
  }
  const changed = { ...request.headers, "webhook-id": `${request.headers["webhook-id"]}x` };
  if (!refuses(hooks[0], `${body} `, request.headers) || !refuses(hooks[0], body, changed)) fail("a changed request is proven");
  if (!refuses(stranger, body, request.headers)) fail("a request is proven by another secret");
  // The first attempt of some fails: it comes again, with the same id.
  const id = request.headers["webhook-id"];
  const attempts = (requests.get(id) ?? 0) + 1;
  requests.set(id, attempts);
  if (attempts === 1 && requests.size % 50 === 0) {
    response.writeHead(500).end();
    return;
  }
  lines.push(JSON.stringify({ call: hooks[0].verify(body, request.headers) }));
  response.writeHead(204).end();
});
await new Promise((listening) => server.listen(Number(PORT), "127.0.0.1", listening));

let batch = [];
const post = async () => {
  const authorization = `Basic ${Buffer.from(`${WRITE_KEY}:`).toString("base64")}`;
  const answer = await fetch(`${ENDPOINT}/v1/batch`, {
    method: "POST",
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify({ batch }),
  });
  if (answer.status !== 200) fail(`the batch was answered ${answer.status}`);
  batch = [];
};
let number = 0;
// Without integrations, which may say that this destination is not to have a call.
for (const { kind, body, integrations, ...call } of calls(count, "hooks")) {
  const traits = kind === "identify" || kind === "group";
  batch.push({ ...call, type: kind, messageId: `hook-${number++}`, ...(kind !== "alias" && { [traits ? "traits" : "properties"]: body }) });
  if (batch.length === 50) await post();
}
if (batch.length > 0) await post();

const until = Date.now() + 60_000;
while (lines.length < count && Date.now() < until) await new Promise((later) => setTimeout(later, 20));
if (lines.length !== count) fail(`${count} calls were sent and ${lines.length} came`);
if (requests.size !== count) fail(`${count} calls came under ${requests.size} ids`);
if (![...requests.values()].some((attempts) => attempts > 1)) fail("no request was sent again");
writeFileSync(SENT, lines.map((line) => `${line}\n`).join(""));
console.log(`${count} calls came`);
process.exit(0);
