/** A table of a configuration. */
export type ConfigTable = Readonly<Record<string, unknown>>;

export const releases = ["1.6", "2.0", "2.1", "2.3"] as const;
export type Release = (typeof releases)[number];

/**
 * What a release of containerd writes as its default configuration, made from what its plugins are known to take.
 * Source: containerd, the `toml` keys of each plugin's settings at v1.6.20, v2.0.9, v2.1.9 and v2.3.4.
 */
export function containerdDefaults(release: Release): ConfigTable {
  const parts: ConfigTable = release === "2.3" ? topOf4 : topOf2(release);
  return {
    ...parts,
    root: "/var/lib/containerd",
    state: "/run/containerd",
    temp: "",
    disabled_plugins: [],
    required_plugins: [],
    oom_score: 0,
    plugins: { ...commonPlugins(release), ...(release === "1.6" ? pluginsOf1() : pluginsOf2(release)) },
    cgroup: { path: "" },
    timeouts: timeouts(release),
    stream_processors: Object.fromEntries(["tar", "tar.gzip"].map(decoder)),
  };
}

const since = (release: Release, first: Release): boolean => releases.indexOf(release) >= releases.indexOf(first);
const sizes = { max_recv_message_size: 16777216, max_send_message_size: 16777216 };
const owner = { uid: 0, gid: 0 };
const rootPath = { root_path: "" };
const tls = { tls_ca: "", tls_cert: "", tls_key: "" };

const topOf4: ConfigTable = {
  version: 4,
  imports: ["/etc/containerd/conf.d/*.toml"],
  debug: { level: "", format: "", log_trace_id: false },
};

function topOf2(release: Release): ConfigTable {
  const tcp = Object.fromEntries(Object.keys({ address: "", ...tls }).map((key) => [`tcp_${key}`, ""]));
  return {
    version: release === "1.6" ? 2 : 3,
    imports: [],
    ...(since(release, "2.1") ? {} : { plugin_dir: "" }),
    ...(release === "1.6" ? { proxy_plugins: {} } : {}),
    grpc: { address: "/run/containerd/containerd.sock", ...tcp, ...owner, ...sizes },
    ttrpc: { address: "", ...owner },
    debug: { address: "", ...owner, level: "", format: "" },
    metrics: { address: "", grpc_histogram: false },
  };
}

function commonPlugins(release: Release): ConfigTable {
  return {
    "io.containerd.gc.v1.scheduler": {
      pause_threshold: 0.02,
      deletion_threshold: 0,
      mutation_threshold: 100,
      schedule_delay: "0s",
      startup_delay: "100ms",
    },
    "io.containerd.internal.v1.opt": { path: "/opt/containerd" },
    "io.containerd.metadata.v1.bolt": {
      content_sharing_policy: "shared",
      ...(since(release, "2.1") ? { no_sync: false } : {}),
    },
    "io.containerd.runtime.v2.task": {
      platforms: ["linux/amd64"],
      ...(release === "1.6" ? { sched_core: false } : {}),
    },
    "io.containerd.service.v1.diff-service": {
      default: ["walking"],
      ...(since(release, "2.0") ? { sync_fs: false } : {}),
    },
    "io.containerd.service.v1.tasks-service": {
      rdt_config_file: "",
      ...(since(release, "2.0") ? { blockio_config_file: "" } : {}),
    },
    "io.containerd.snapshotter.v1.btrfs": rootPath,
    "io.containerd.snapshotter.v1.native": rootPath,
    "io.containerd.snapshotter.v1.overlayfs": {
      ...rootPath,
      upperdir_label: false,
      ...(since(release, "2.0") ? { sync_remove: false, slow_chown: false, mount_options: [] } : {}),
    },
    "io.containerd.snapshotter.v1.devmapper": {
      ...rootPath,
      pool_name: "",
      base_image_size: "",
      async_remove: false,
      discard_blocks: false,
      fs_type: "",
      fs_options: "",
    },
  };
}

const runcOptions = {
  BinaryName: "",
  CriuImagePath: "",
  CriuWorkPath: "",
  IoGid: 0,
  IoUid: 0,
  NoNewKeyring: false,
  Root: "",
  ShimCgroup: "",
  SystemdCgroup: false,
};
const podRuntime = {
  runtime_type: "io.containerd.runc.v2",
  runtime_path: "",
  pod_annotations: [],
  container_annotations: [],
  privileged_without_host_devices: false,
  base_runtime_spec: "",
  cni_conf_dir: "",
  cni_max_conf_num: 0,
};
const streaming = {
  disable_tcp_service: true,
  stream_server_address: "127.0.0.1",
  stream_server_port: "0",
  stream_idle_timeout: "4h0m0s",
  enable_tls_streaming: false,
  x509_key_pair_streaming: { tls_cert_file: "", tls_key_file: "" },
};
const podSettings = {
  enable_selinux: false,
  selinux_category_range: 1024,
  max_container_log_line_size: 16384,
  disable_apparmor: false,
  restrict_oom_score_adj: false,
  disable_proc_mount: false,
  unset_seccomp_profile: "",
  tolerate_missing_hugetlb_controller: true,
  disable_hugetlb_controller: true,
  device_ownership_from_security_context: false,
  ignore_image_defined_volumes: false,
  netns_mounts_under_state_dir: false,
  enable_unprivileged_ports: false,
  enable_unprivileged_icmp: false,
};
const cni = { bin_dir: "/opt/cni/bin", conf_dir: "/etc/cni/net.d", max_conf_num: 1, conf_template: "", ip_pref: "" };

function pluginsOf1(): ConfigTable {
  const old = { ...podRuntime, runtime_engine: "", runtime_root: "" };
  const unset = { ...old, runtime_type: "", options: {} };
  return {
    "io.containerd.grpc.v1.cri": {
      ...podSettings,
      ...streaming,
      disable_cgroup: false,
      systemd_cgroup: false,
      sandbox_image: "registry.k8s.io/pause:3.6",
      max_concurrent_downloads: 3,
      stats_collect_period: 10,
      image_decryption: { key_model: "node" },
      registry: { config_path: "", auths: {}, configs: {}, headers: {}, mirrors: {} },
      cni,
      containerd: {
        default_runtime_name: "runc",
        disable_snapshot_annotations: true,
        discard_unpacked_layers: false,
        ignore_rdt_not_enabled_errors: false,
        no_pivot: false,
        snapshotter: "overlayfs",
        default_runtime: unset,
        untrusted_workload_runtime: unset,
        runtimes: { runc: { ...old, options: { ...runcOptions, CriuPath: "", NoPivotRoot: false } } },
      },
    },
    "io.containerd.internal.v1.restart": { interval: "10s" },
    "io.containerd.monitor.v1.cgroups": { no_prometheus: false },
    "io.containerd.runtime.v1.linux": {
      no_shim: false,
      runtime: "runc",
      runtime_root: "",
      shim: "containerd-shim",
      shim_debug: false,
    },
    "io.containerd.snapshotter.v1.aufs": rootPath,
    "io.containerd.snapshotter.v1.zfs": rootPath,
  };
}

function pluginsOf2(release: Release): ConfigTable {
  return {
    "io.containerd.cri.v1.images": criImages(release),
    "io.containerd.cri.v1.runtime": criRuntime(release),
    "io.containerd.grpc.v1.cri": streaming,
    "io.containerd.image-verifier.v1.bindir": {
      bin_dir: "/opt/containerd/image-verifier/bin",
      max_verifiers: 10,
      per_verifier_timeout: "10s",
    },
    "io.containerd.internal.v1.tracing": {},
    "io.containerd.tracing.processor.v1.otlp": {},
    "io.containerd.monitor.container.v1.restart": { interval: "10s" },
    "io.containerd.monitor.task.v1.cgroups": { no_prometheus: false },
    "io.containerd.nri.v1.nri": {
      disable: false,
      socket_path: "/var/run/nri/nri.sock",
      plugin_path: "/opt/nri/plugins",
      plugin_config_path: "/etc/nri/conf.d",
      plugin_registration_timeout: "5s",
      plugin_request_timeout: "2s",
      disable_connections: false,
      ...(since(release, "2.3") ? { default_validator: { enable: false, reject_oci_hook_adjustment: false } } : {}),
    },
    "io.containerd.shim.v1.manager": { env: [], ...(since(release, "2.3") ? { socket_dir: "" } : {}) },
    "io.containerd.snapshotter.v1.blockfile": {
      ...rootPath,
      scratch_file: "",
      fs_type: "",
      mount_options: [],
      recreate_scratch: false,
    },
    "io.containerd.transfer.v1.local": transfer(release),
    ...(since(release, "2.1") ? erofs(release) : {}),
    ...(since(release, "2.3") ? servers() : {}),
  };
}

function transfer(release: Release): ConfigTable {
  return {
    max_concurrent_downloads: 3,
    max_concurrent_uploaded_layers: 3,
    config_path: "",
    ...(since(release, "2.1") ? { concurrent_layer_fetch_buffer: 0, check_platform_supported: false } : {}),
    ...(since(release, "2.3") ? { max_concurrent_unpacks: 1 } : {}),
  };
}

function criImages(release: Release): ConfigTable {
  return {
    snapshotter: "overlayfs",
    disable_snapshot_annotations: true,
    discard_unpacked_layers: false,
    max_concurrent_downloads: 3,
    image_pull_progress_timeout: "5m0s",
    image_pull_with_sync_fs: false,
    pinned_images: { sandbox: "registry.k8s.io/pause:3.10" },
    registry: { config_path: "" },
    image_decryption: { key_model: "node" },
    ...(since(release, "2.1") ? { concurrent_layer_fetch_buffer: 0, use_local_image_pull: false } : {}),
    ...(since(release, "2.3") ? {} : { stats_collect_period: 10 }),
  };
}

function criRuntime(release: Release): ConfigTable {
  return {
    ...podSettings,
    enable_cdi: true,
    cdi_spec_dirs: ["/etc/cdi", "/var/run/cdi"],
    drain_exec_sync_io_timeout: "0s",
    ignore_deprecation_warnings: [],
    cni: {
      ...cni,
      setup_serially: false,
      use_internal_loopback: false,
      ...(since(release, "2.1") ? { bin_dir: "", bin_dirs: ["/usr/lib/cni", "/opt/cni/bin"] } : {}),
    },
    containerd: {
      default_runtime_name: "runc",
      ignore_blockio_not_enabled_errors: false,
      ignore_rdt_not_enabled_errors: false,
      runtimes: {
        runc: {
          ...podRuntime,
          privileged_without_host_devices_all_devices_allowed: false,
          snapshotter: "",
          sandboxer: "podsandbox",
          io_type: "",
          options: runcOptions,
          ...(since(release, "2.1") ? { cgroup_writable: false } : {}),
        },
      },
    },
    ...(since(release, "2.3") ? { stats_collect_period: "1s", stats_retention_period: "2m0s", enable_criu: true } : {}),
  };
}

function erofs(release: Release): ConfigTable {
  const later = since(release, "2.3");
  return {
    "io.containerd.differ.v1.erofs": {
      mkfs_options: [],
      ...(later ? { enable_tar_index: false, enable_dmverity: false } : {}),
    },
    "io.containerd.snapshotter.v1.erofs": {
      ...rootPath,
      ovl_mount_options: [],
      enable_fsverity: false,
      set_immutable: false,
      ...(later ? { default_size: "", dmverity_mode: "" } : {}),
    },
  };
}

function servers(): ConfigTable {
  const socket = "/run/containerd/containerd.sock";
  return {
    "io.containerd.metrics.v1.grpc-prometheus": { grpc_histogram: false },
    "io.containerd.server.v1.debug": { address: "", ...owner },
    "io.containerd.server.v1.grpc": { address: socket, ...owner, ...sizes },
    "io.containerd.server.v1.grpc-tcp": { address: "", ...tls, tls_common_name: "", ...sizes },
    "io.containerd.server.v1.metrics": { address: "" },
    "io.containerd.server.v1.ttrpc": { address: `${socket}.ttrpc`, ...owner },
  };
}

function timeouts(release: Release): ConfigTable {
  const named = {
    "bolt.open": "0s",
    "shim.cleanup": "5s",
    "shim.load": "5s",
    "shim.shutdown": "3s",
    "task.state": "2s",
    ...(since(release, "2.0") ? { "cri.defercleanup": "1m0s", "metrics.shimstats": "2s" } : {}),
  };
  return Object.fromEntries(Object.entries(named).map(([name, value]) => [`io.containerd.timeout.${name}`, value]));
}

function decoder(type: string): readonly [string, ConfigTable] {
  const mediaType = `application/vnd.oci.image.layer.v1.${type.replace(".", "+")}`;
  return [
    `io.containerd.ocicrypt.decoder.v1.${type}`,
    {
      accepts: [`${mediaType}+encrypted`],
      returns: mediaType,
      path: "ctd-decoder",
      args: ["--decryption-keys-path", "/etc/containerd/ocicrypt/keys"],
      env: ["OCICRYPT_KEYPROVIDER_CONFIG=/etc/containerd/ocicrypt/ocicrypt_keyprovider.conf"],
    },
  ];
}
