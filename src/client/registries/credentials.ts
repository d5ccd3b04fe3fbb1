import { isFault, quote } from "../../lib/faults.ts";
import { askHelper } from "./credential-helper.ts";
import { type DockerConfig, helperFor, readDockerConfig } from "./docker-config.ts";

/** Who one is at a registry. An empty name with a secret is a refresh token. */
export interface RegistryCredentials {
  readonly username: string;
  readonly secret: string;
}

/** The names under which docker keeps what is for Docker Hub. */
const hubNames: ReadonlySet<string> = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"]);
/** Docker Hub's own entry. Source: docker registry/config.go, IndexServer. */
const hubServer = "https://index.docker.io/v1/";

/** The name under which docker keeps a host's credentials. */
export function serverName(host: string): string {
  return hubNames.has(host) ? hubServer : host;
}

/**
 * Finds what `docker login` or `lighter login` has kept for a host.
 * Shape: helpers of the host first, then the file; undefined when there is nothing.
 * Errors: failedPrecondition (a file that cannot be read as one, a helper that fails), naming it.
 * Source: docker cli/config/configfile/file.go, GetAuthConfig.
 */
export async function findCredentials(
  host: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<RegistryCredentials | undefined> {
  const config = await readDockerConfig(env);
  const helper = helperFor(config, serverName(host)) ?? helperFor(config, host);
  if (helper !== undefined) return await askHelper(helper, serverName(host), env);
  return inFile(config, host);
}

function inFile(config: DockerConfig, host: string): RegistryCredentials | undefined {
  const wanted = hostOf(serverName(host));
  const exact = config.auths.get(serverName(host)) ?? config.auths.get(host);
  return exact ?? [...config.auths].find(([server]) => hostOf(server) === wanted)?.[1];
}

/** A server's host, without scheme and path. Source: docker registry/auth.go, ConvertToHostname. */
function hostOf(server: string): string {
  return server.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
}

/** Credentials that were given on the command line: for the image's own registry and for no other host. */
export function givenCredentials(
  registry: string,
  given: RegistryCredentials,
): (host: string) => Promise<RegistryCredentials | undefined> {
  const own = serverName(registry);
  return (host) => Promise.resolve(serverName(host) === own ? given : undefined);
}

/** What is kept, but a file that cannot be read is told and means nobody: many an image needs no name. */
export function keptCredentials(
  env: Readonly<Record<string, string | undefined>>,
  warn: (text: string) => void,
): (host: string) => Promise<RegistryCredentials | undefined> {
  return async (host) => {
    try {
      return await findCredentials(host, env);
    } catch (error) {
      if (!isFault(error, "failedPrecondition")) throw error;
      warn(`no credentials for ${quote(host)}: ${error.message}`);
      return undefined;
    }
  };
}
