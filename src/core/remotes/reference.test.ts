import { describe, expect, test } from "bun:test";
import type { Digest } from "../../lib/digest.ts";
import { FaultError } from "../../lib/faults.ts";
import { distributionSource, mountCandidate } from "./distribution-source.ts";
import { makeRefKey } from "./ref-key.ts";
import { parseRef } from "./reference.ts";

describe("parseRef", () => {
  test.each([
    ["docker.io/library/alpine:3", "docker.io", "library/alpine", "3", ""],
    ["localhost:5000/a/b@sha256:00", "localhost:5000", "a/b", "", "sha256:00"],
    ["[::1]:5000/a:t@sha256:00", "[::1]:5000", "a", "t", "sha256:00"],
    ["host/a__b/c-d.e", "host", "a__b/c-d.e", "", ""],
  ])("takes %s apart", (text, host, repository, tag, digest) => {
    expect(parseRef(text)).toEqual({ text, host, repository, tag, digest });
  });

  test.each([
    ["https://host/a:1", /scheme/],
    ["/a:1", /hostname required/],
    ["", /hostname required/],
    ["host", /not a repository/],
    ["host/", /not a repository/],
    ["host/a//b:1", /not a repository/],
    ["host/../b:1", /not a repository/],
    ["host/a?x=1:1", /not a repository/],
    ["host/a b:1", /not a repository/],
    ["user@host/a:1", /not a host/],
    ["host:port/a:1", /not a host/],
    ["host\r\nx: y/a:1", /not a host/],
    ["host/a:../../x", /not a tag/],
    ["host/a:1 HTTP", /not a tag/],
  ])("refuses %j", (text, why) => {
    expect(() => parseRef(text)).toThrow(FaultError);
    expect(() => parseRef(text)).toThrow(why);
  });
});

describe("makeRefKey", () => {
  const digest = `sha256:${"0".repeat(64)}` as Digest;
  test.each([
    ["application/vnd.oci.image.manifest.v1+json", "manifest"],
    ["application/vnd.docker.distribution.manifest.list.v2+json", "index"],
    ["application/vnd.oci.image.layer.v1.tar+zstd", "layer"],
    ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "layer"],
    ["application/vnd.docker.container.image.v1+json", "config"],
    ["application/vnd.in-toto+json", "attestation"],
    ["application/vnd.cncf.helm.config.v1+json", "unknown"],
  ])("of %s begins with %s", (mediaType, prefix) => {
    expect(makeRefKey({ mediaType, digest, sizeBytes: 1 })).toBe(`${prefix}-${digest}`);
  });
});

describe("distributionSource", () => {
  const spec = parseRef("localhost:5000/team/app/web:1");

  test("adds the repository to those that are known", () => {
    expect(distributionSource(spec, undefined)).toEqual([
      "containerd.io/distribution.source.localhost",
      "team/app/web",
    ]);
    expect(distributionSource(spec, "z,team/app/web,a")[1]).toBe("a,team/app/web,z");
  });

  test.each([
    ["team/app/web", undefined],
    ["x/y,team/app/db,team/z", "team/app/db"],
    ["x,../../y?", "x"],
    ["", undefined],
  ])("a blob from %j is best mounted from %p", (value, want) => {
    const annotations = new Map([["containerd.io/distribution.source.localhost", value]]);
    expect(mountCandidate(spec, annotations)).toBe(want);
  });
});
