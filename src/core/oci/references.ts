import { invalidArgument, quote } from "../../lib/faults.ts";

const defaultHost = "docker.io";
const namePart = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const hostPattern =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:.]+\])(?::[0-9]+)?$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const digestPattern = /^[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;

interface Reference {
  readonly host: string;
  readonly path: string;
  readonly tag: string;
  readonly digest: string;
}

/**
 * A docker reference in full: with its host, and a tag or a digest.
 * Shape: `alpine` becomes `docker.io/library/alpine:latest`; a tag beside a digest is dropped.
 * Errors: invalidArgument.
 * Source: distribution/reference helpers.go, ParseDockerRef.
 */
export function normalizeReference(text: string): string {
  const { host, path, tag, digest } = parseReference(text);
  return `${host}/${path}${digest !== "" ? `@${digest}` : `:${tag === "" ? "latest" : tag}`}`;
}

/** A reference as docker shows it: without docker's own host. Errors: invalidArgument. Source: distribution/reference, FamiliarString. */
export function familiarReference(text: string): string {
  const { host, path, tag, digest } = parseReference(text);
  const short = host === defaultHost ? path.replace(/^library\/(?=[^/]+$)/, "") : `${host}/${path}`;
  const suffix = `${tag === "" ? "" : `:${tag}`}${digest === "" ? "" : `@${digest}`}`;
  return `${short}${suffix === "" ? ":latest" : suffix}`;
}

/** What an OCI layout calls an image of that name: its tag, or the name as it is. Source: containerd core/images/archive/reference.go. */
export function layoutReference(name: string): string {
  const slash = name.indexOf("/");
  if (slash <= 0) return name;
  const at = name.indexOf("@", slash);
  const object = /[:@]/.exec(name.slice(slash + 1));
  if (object === null) return name;
  const start = slash + 1 + object.index;
  if (name[start] === "@" || at === start) return name;
  return name.slice(start + 1);
}

function parseReference(text: string): Reference {
  const refuse = (): never => {
    throw invalidArgument(`normalize image ref ${quote(text)}: invalid reference format`);
  };
  const at = text.indexOf("@");
  const digest = at < 0 ? "" : text.slice(at + 1);
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.indexOf(":", named.lastIndexOf("/") + 1);
  const tag = colon < 0 ? "" : named.slice(colon + 1);
  const { host, path } = splitHost(colon < 0 ? named : named.slice(0, colon));
  if (!hostPattern.test(host) || path.length > 255 || !path.split("/").every((part) => namePart.test(part))) refuse();
  if ((colon >= 0 && !tagPattern.test(tag)) || (at >= 0 && !digestPattern.test(digest))) refuse();
  return { host, path, tag, digest };
}

function splitHost(name: string): { readonly host: string; readonly path: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost = first !== "" && (/[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase());
  const host = isHost ? (first === "index.docker.io" ? defaultHost : first) : defaultHost;
  const path = isHost ? name.slice(slash + 1) : name;
  return { host, path: host === defaultHost && !path.includes("/") ? `library/${path}` : path };
}
