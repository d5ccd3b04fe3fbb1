import manifest from "../../package.json" with { type: "json" };

/** lighter's own version. */
export const productVersion: string = manifest.version;

/**
 * The version that clients are told: that of the containerd whose interface this is, and lighter's behind the plus sign,
 * where semantic versioning puts what is not compared. Clients (nerdctl, moby) parse it and turn features on by it.
 */
export const apiVersion: string = `v2.4.0+lighter.${productVersion}`;

/** What was built: a commit where the build names one. */
export const revision: string = process.env["LIGHTER_REVISION"] ?? "";
