import { sign } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import { runOk } from "./run.ts";

/** Certificates of an authority of our own, in files. */
export interface Authority {
  readonly ca: string;
  readonly server: { readonly cert: string; readonly key: string };
  readonly client: { readonly cert: string; readonly key: string };
}

/** A registry on this machine's loopback, with a folder of its own. */
export interface Registry extends AsyncDisposable {
  /** Name and port: `127.0.0.1:34567`. */
  readonly host: string;
  readonly pid: number;
  /** What it wrote so far. */
  log(): Promise<string>;
}

export interface RegistryOptions {
  /** Where it keeps its images, configuration and log. */
  readonly folder: string;
  readonly tls?: Authority | undefined;
  /** Clients have to show a certificate of the authority. */
  readonly clientAuth?: boolean | undefined;
  /** One who may come in, by Basic. */
  readonly user?: { readonly name: string; readonly password: string } | undefined;
  readonly tokenServer?: TokenServer | undefined;
}

/** Makes an authority, a certificate for 127.0.0.1 and localhost, and one for a client. */
export async function createAuthority(folder: string): Promise<Authority> {
  await fs.mkdir(folder, { recursive: true });
  const at = (name: string): string => path.join(folder, name);
  const openssl = (...words: string[]): Promise<string> => runOk(["openssl", ...words]);
  await openssl(
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-subj",
    "/CN=test authority",
    "-days",
    "2",
    "-keyout",
    at("ca.key"),
    "-out",
    at("ca.crt"),
  );
  await fs.writeFile(at("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  for (const name of ["server", "client"]) {
    await openssl(
      "req",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-subj",
      `/CN=${name}`,
      "-keyout",
      at(`${name}.key`),
      "-out",
      at(`${name}.csr`),
    );
    await openssl(
      "x509",
      "-req",
      "-in",
      at(`${name}.csr`),
      "-CA",
      at("ca.crt"),
      "-CAkey",
      at("ca.key"),
      "-CAcreateserial",
      "-days",
      "2",
      "-extfile",
      at("names"),
      "-out",
      at(`${name}.crt`),
    );
  }
  return {
    ca: at("ca.crt"),
    server: { cert: at("server.crt"), key: at("server.key") },
    client: { cert: at("client.crt"), key: at("client.key") },
  };
}

/** Starts Debian's docker-registry on a port of its own choice. */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const { folder } = options;
  await fs.mkdir(folder, { recursive: true });
  const config = path.join(folder, "config.yml");
  const logFile = path.join(folder, "registry.log");
  if (options.user !== undefined) {
    const hash = await Bun.password.hash(options.user.password, { algorithm: "bcrypt", cost: 4 });
    await fs.writeFile(path.join(folder, "htpasswd"), `${options.user.name}:${hash}\n`);
  }
  // JSON is YAML too.
  await fs.writeFile(config, JSON.stringify(configOf(options)));
  const child = Bun.spawn(["docker-registry", "serve", config], {
    stdin: "ignore",
    stdout: Bun.file(logFile),
    stderr: Bun.file(logFile),
  });
  const log = (): Promise<string> => fs.readFile(logFile, "utf8").catch(() => "");
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
  };
  try {
    for (let waited = 0; ; waited += 20) {
      const port = /listening on 127\.0\.0\.1:(\d+)/.exec(await log())?.[1];
      if (port !== undefined) return { host: `127.0.0.1:${port}`, pid: child.pid, log, [Symbol.asyncDispose]: stop };
      if (child.exitCode !== null || waited > 10_000) throw new Error(`no registry:\n${await log()}`);
      await Bun.sleep(20);
    }
  } catch (error) {
    await stop();
    throw error;
  }
}

function configOf({ folder, tls, clientAuth, user, tokenServer }: RegistryOptions): unknown {
  return {
    version: "0.1",
    log: { level: "info", accesslog: { disabled: false } },
    storage: { filesystem: { rootdirectory: path.join(folder, "storage") }, delete: { enabled: true } },
    http: {
      addr: "127.0.0.1:0",
      secret: "a secret of the test",
      ...(tls === undefined
        ? {}
        : {
            tls: {
              certificate: tls.server.cert,
              key: tls.server.key,
              ...(clientAuth === true ? { clientcas: [tls.ca] } : {}),
            },
          }),
    },
    ...(user === undefined ? {} : { auth: { htpasswd: { realm: "test", path: path.join(folder, "htpasswd") } } }),
    ...(tokenServer === undefined
      ? {}
      : {
          auth: {
            token: {
              realm: `${tokenServer.url}/token`,
              service: "test registry",
              issuer: "test issuer",
              rootcertbundle: tokenServer.bundle,
            },
          },
        }),
  };
}

/** A server that gives tokens for a registry, and counts how it was asked. */
export interface TokenServer extends AsyncDisposable {
  readonly url: string;
  /** The certificate that its tokens are signed with. */
  readonly bundle: string;
  /** Each request: `GET anonymous scope`, `POST password scope`, `POST refresh_token scope`. */
  readonly requests: string[];
}

export interface TokenServerOptions {
  readonly authority: Authority;
  readonly user: { readonly name: string; readonly password: string };
  readonly refreshToken?: string | undefined;
  /** Answers POST as servers do that have none. */
  readonly withoutPost?: boolean | undefined;
  /** Whether pulling needs no name. */
  readonly publicPull?: boolean | undefined;
  readonly expiresInSeconds?: number | undefined;
}

/** Starts a token server by the rules of distribution's docs/spec/auth. */
export async function startTokenServer(options: TokenServerOptions): Promise<TokenServer> {
  const { authority, user, refreshToken } = options;
  const key = await fs.readFile(authority.server.key, "utf8");
  const chain = await fs.readFile(authority.server.cert, "utf8");
  const requests: string[] = [];
  const answer = (scopes: readonly string[], known: boolean): Response => {
    const access = scopes.flatMap((scope) => grant(scope, known, options.publicPull === true));
    const token = makeToken(access, key, chain, options.expiresInSeconds ?? 300);
    return Response.json({ token, access_token: token, expires_in: options.expiresInSeconds ?? 300 });
  };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const url = new URL(request.url);
      if (request.method === "POST") {
        if (options.withoutPost === true) return new Response("no", { status: 405 });
        const form = new URLSearchParams(await request.text());
        const scopes = (form.get("scope") ?? "").split(" ").filter((one) => one !== "");
        requests.push(`POST ${form.get("grant_type")} ${scopes.join(" ")}`);
        const known =
          form.get("grant_type") === "refresh_token"
            ? refreshToken !== undefined && form.get("refresh_token") === refreshToken
            : form.get("username") === user.name && form.get("password") === user.password;
        return known ? answer(scopes, true) : new Response("no", { status: 403 });
      }
      const scopes = url.searchParams.getAll("scope");
      const basic = request.headers.get("authorization");
      requests.push(`GET ${basic === null ? "anonymous" : "basic"} ${scopes.join(" ")}`);
      const known = basic === `Basic ${Buffer.from(`${user.name}:${user.password}`).toString("base64")}`;
      return basic !== null && !known ? new Response("no", { status: 401 }) : answer(scopes, known);
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    bundle: authority.server.cert,
    requests,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

function grant(scope: string, known: boolean, publicPull: boolean): unknown[] {
  const [type = "", name = "", actions = ""] = scope.split(":");
  const allowed = actions.split(",").filter((action) => known || (publicPull && action === "pull"));
  return allowed.length === 0 ? [] : [{ type, name, actions: allowed }];
}

function makeToken(access: readonly unknown[], key: string, chain: string, lastsSeconds: number): string {
  const now = Math.floor(Date.now() / 1000);
  const certificate = /-----BEGIN CERTIFICATE-----([^-]+)-----END/.exec(chain)?.[1]?.replace(/\s/g, "") ?? "";
  const claims = {
    iss: "test issuer",
    sub: "someone",
    aud: "test registry",
    exp: now + lastsSeconds,
    nbf: now - 10,
    iat: now,
    jti: crypto.randomUUID(),
    access,
  };
  const parts = [{ typ: "JWT", alg: "RS256", x5c: [certificate] }, claims];
  const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${text}.${sign("RSA-SHA256", Buffer.from(text), key).toString("base64url")}`;
}
