// The types of the TypeScript client: node typescript.mjs DOCUMENT FILE

import { readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";
import ts from "typescript";

const [document, file] = process.argv.slice(2);
const BLOB = ts.factory.createTypeReferenceNode("Blob");

const types = await openapiTS(JSON.parse(readFileSync(document, "utf8")), {
  defaultNonNullable: false, // what has a default may be left out
  transform: (schema) => (schema.format === "binary" ? BLOB : undefined),
});
writeFileSync(file, astToString(types));
