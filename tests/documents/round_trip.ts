// The life of a device, through the TypeScript client: node round_trip.js ADDRESS NAME PASSWORD

import assert from "node:assert/strict";
import { basic, service, type Schemas } from "./client.js";

const [address, username, password] = process.argv.slice(2);
const api = service(address, basic(username, password));
const body: Schemas["DeviceWrite"] = {
  name: "Küchenthermostat",
  location: "Kitchen",
  type: "Thermostat",
  model: "Acova TAFFETAS2",
  serial_number: "ACOV-09494",
};

// @ts-expect-error: a device has no colour
({ ...body, colour: "red" }) satisfies Schemas["DeviceWrite"];
({ name: "Kettle", task: "Descale it." }) satisfies Schemas["TodoWrite"];
({ file: new Blob(["name"]) }) satisfies Schemas["FileForm"];

const made: Schemas["Device"][] = [];
for (let count = 0; count < 3; count++) {
  const { data } = await api.POST("/api/v1/devices", { body });
  assert(data);
  made.push(data);
}
assert.equal(made[0].name, body.name);
// @ts-expect-error: an id is a number
made[0].id satisfies string;

const query = { per_page: 2, type: "Thermostat" };
const pages: Schemas["DevicePage"][] = [];
for (const page of [1, 2]) {
  const { data } = await api.GET("/api/v1/devices", { params: { query: { ...query, page } } });
  assert(data);
  pages.push(data);
}
assert.deepEqual(pages.flatMap((page) => page.items ?? []), made);
assert.equal(pages[1].meta.next, null);
assert.equal(pages[1].meta.total, 3);
const { next } = pages[0].meta;
assert(next);
const rest = Object.fromEntries(new URL(next).searchParams);
const { data: followed } = await api.GET("/api/v1/devices", { params: { query: rest } });
assert.deepEqual(followed?.items, made.slice(2));

const { data: lines } = await api.GET("/api/v1/devices/export", { parseAs: "text" });
assert.equal(lines?.split("\r\n").length, 5); // with that of the names, and an end

const path = { id: made[0].id };
const { response: read } = await api.GET("/api/v1/devices/{id}", { params: { path } });
const header = { "If-Match": read.headers.get("ETag") ?? "" };
const change = { params: { path, header }, body: { name: "Thermostat" } };
const { data: changed } = await api.PATCH("/api/v1/devices/{id}", change);
assert.deepEqual([changed?.name, changed?.location], ["Thermostat", "Kitchen"]);
const { error: late } = await api.PATCH("/api/v1/devices/{id}", change);
assert.equal(late?.status, 412);

const { error: nameless } = await api.POST("/api/v1/devices", { body: { ...body, name: "" } });
assert.deepEqual(nameless?.errors?.map((fault) => fault.pointer), ["/name"]);

const { response: gone } = await api.DELETE("/api/v1/devices/{id}", { params: { path } });
assert.equal(gone.status, 204);
const { error: missing } = await api.GET("/api/v1/devices/{id}", { params: { path } });
assert.equal(missing?.status, 404);
