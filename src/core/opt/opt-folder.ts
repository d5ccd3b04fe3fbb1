import { delimiter, join } from "node:path";

/** The folder into which clients install programs for the daemon: `bin` and `lib` of it come before all others. */
export interface OptFolder {
  readonly path: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * An environment in which what is installed there is found first.
 * Source: containerd plugins/services/opt/service.go; unlike there no empty place, which would mean the working folder.
 */
export function withOpt(env: Environment, opt: OptFolder | undefined): Environment {
  if (opt === undefined) return env;
  const before = (folder: string, places: string | undefined): string =>
    [join(opt.path, folder), ...(places === undefined || places === "" ? [] : [places])].join(delimiter);
  return { ...env, PATH: before("bin", env["PATH"]), LD_LIBRARY_PATH: before("lib", env["LD_LIBRARY_PATH"]) };
}
