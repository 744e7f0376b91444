import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type Schemas = components["schemas"];

/** The header of HTTP Basic; that of a token is `Bearer ${token}`. */
export function basic(username: string, password: string): string {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

/** A client of the service at this address, signed in where there is an `Authorization`. */
export function service(baseUrl: string, Authorization?: string) {
  return createClient<paths>({ baseUrl, headers: { Authorization } });
}
