import type { Ctx } from "../../../lib/ctx.ts";
import { FaultError, fault, messageOf, quote } from "../../../lib/faults.ts";
import type { TlsSettings } from "../hosts/tls-settings.ts";
import { userAgent } from "../http/headers.ts";
import { type HttpAnswer, sendHttp } from "../http/http-client.ts";
import { readLimited } from "../http/limited-body.ts";
import type { Credentials } from "../remotes.ts";

/** What a registry says of where its tokens come from, and who wants one. */
export interface TokenRealm {
  readonly url: URL;
  readonly service: string;
  readonly credentials: Credentials | undefined;
  readonly tls: TlsSettings;
}

export interface Token {
  readonly value: string;
  /** When it is no longer good; undefined when the server does not say. */
  readonly expiresAt: number | undefined;
}

const clientId = "containerd-client";
const maxAnswerBytes = 1 << 20;
/** A token is given up this long before it ends, so that it does not end on its way. */
const marginMs = 5_000;

/**
 * Asks a token server for a token, with what the credentials allow: a POST with the password or the refresh token, and where
 * the server has no POST a GET with Basic; without credentials an anonymous GET.
 * Errors: unauthenticated (the server refuses), unavailable; each names the server.
 * Source: distribution docs/spec/auth/{token,oauth}.md; containerd core/remotes/docker/authorizer.go, doBearerAuth.
 */
export async function requestToken(
  ctx: Ctx,
  realm: TokenRealm,
  scopes: readonly string[],
  now: () => number,
): Promise<Token> {
  const { credentials } = realm;
  if (credentials?.secret === undefined || credentials.secret === "") {
    await using answer = await getToken(ctx, realm, scopes);
    return await readToken(answer, realm, now);
  }
  await using posted = await postToken(ctx, realm, scopes);
  // Servers without POST answer so: GCR 404, Artifactory 401, ACR 400, others 405.
  const hasPost = ![400, 401, 404].includes(posted.status) && !(posted.status === 405 && credentials.username !== "");
  if (hasPost) return await readToken(posted, realm, now);
  await using got = await getToken(ctx, realm, scopes);
  return await readToken(got, realm, now);
}

function getToken(ctx: Ctx, realm: TokenRealm, scopes: readonly string[]): Promise<HttpAnswer> {
  const url = new URL(realm.url);
  if (realm.service !== "") url.searchParams.append("service", realm.service);
  for (const scope of scopes) url.searchParams.append("scope", scope);
  const headers = new Headers({ "user-agent": userAgent });
  const { username = "", secret = "" } = realm.credentials ?? {};
  if (secret !== "") headers.set("authorization", basicAuthorization(username, secret));
  return sendHttp({ method: "GET", url, headers, tls: realm.tls, signal: ctx.signal });
}

function postToken(ctx: Ctx, realm: TokenRealm, scopes: readonly string[]): Promise<HttpAnswer> {
  const { username = "", secret = "" } = realm.credentials ?? {};
  const form = new URLSearchParams({ service: realm.service, client_id: clientId });
  if (scopes.length > 0) form.set("scope", scopes.join(" "));
  if (username === "") {
    form.set("grant_type", "refresh_token");
    form.set("refresh_token", secret);
  } else {
    form.set("grant_type", "password");
    form.set("username", username);
    form.set("password", secret);
  }
  const headers = new Headers({
    "user-agent": userAgent,
    "content-type": "application/x-www-form-urlencoded; charset=utf-8",
  });
  const body = Buffer.from(form.toString());
  return sendHttp({ method: "POST", url: realm.url, headers, body, tls: realm.tls, signal: ctx.signal });
}

async function readToken(answer: HttpAnswer, realm: TokenRealm, now: () => number): Promise<Token> {
  const server = `token server ${quote(realm.url.origin)}`;
  const bytes = await readLimited(answer, maxAnswerBytes, server);
  if (answer.status >= 300 && answer.status < 400)
    throw fault("unauthenticated", `${server} leads elsewhere, which is not followed`);
  if (answer.status >= 400) throw refusal(answer.status, realm, server);
  let fields: { token?: unknown; access_token?: unknown; expires_in?: unknown } | null;
  try {
    fields = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new FaultError("unavailable", `${server}: unable to decode token response: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const value = fields?.access_token ?? fields?.token;
  if (typeof value !== "string" || !/^[\x21-\x7e]+$/.test(value)) {
    throw new FaultError("unauthenticated", `${server}: authorization server did not include a token in the response`);
  }
  const seconds = Number(fields?.expires_in);
  const lasts = Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined;
  return { value, expiresAt: lasts === undefined ? undefined : now() + Math.max(lasts - marginMs, lasts / 2) };
}

function refusal(status: number, realm: TokenRealm, server: string): FaultError {
  if (status === 429 || status >= 500) return fault("unavailable", `${server} answers with status ${status}`);
  const how = realm.credentials?.secret ? "the credentials" : "access without credentials: log in first";
  return fault("unauthenticated", `${server} refuses ${how} (status ${status})`);
}

/** The value of Authorization for a name and a password. Source: RFC 7617. */
export function basicAuthorization(username: string, secret: string): string {
  return `Basic ${Buffer.from(`${username}:${secret}`).toString("base64")}`;
}
