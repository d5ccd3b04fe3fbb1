import { apiVersion } from "../../../lib/version.ts";

/** How we name ourselves to registries: as containerd, since some decide by it what to serve. */
export const userAgent: string = `containerd/${apiVersion.replace(/^v/, "")}`;
