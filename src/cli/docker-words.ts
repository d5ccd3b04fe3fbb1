/** What docker has and lighter has not, with what to do instead. Keys are options as they are typed. */
type Instead = Readonly<Record<string, string>>;

const networks =
  "lighter makes no networks: --net host shares this machine's, and a port of the container is one of this machine";
const names = "lighter makes no networks, and names none: write into /etc/hosts with -v FILE:/etc/hosts";

/** Options of `docker run`. */
export const dockerRunOptions: Instead = {
  "--publish": networks,
  "-p": networks,
  "--publish-all": networks,
  "-P": networks,
  "--expose": networks,
  "--ip": networks,
  "--ip6": networks,
  "--mac-address": networks,
  "--link": networks,
  "--network-alias": networks,
  "--net-alias": networks,
  "--add-host": names,
  "--dns": names,
  "--dns-search": names,
  "--dns-option": names,
  "--gpus": "--device gives it the device nodes, and -v the driver's libraries",
  "--volumes-from": "name the same paths with -v",
  "--volume-driver": "mount it on this machine, and give the path with -v",
  "--userns": "containers share this machine's users; -u chooses one",
  "--cgroupns": "the OCI runtime decides",
  "--cgroup-parent": "cgroups are named after namespace and container: lighter -n NAME chooses the namespace",
  "--cpu-period": "--cpus 0.5 says the same in one number",
  "--cpu-quota": "--cpus 0.5 says the same in one number",
  "--kernel-memory": "the kernel has no such limit any more; --memory counts it",
  "--memory-swappiness": "set it for the machine, in /proc/sys/vm/swappiness",
  "--oom-kill-disable": "--oom-score-adj -1000 makes it the last to go",
  "--detach-keys": "they are ctrl-p ctrl-q",
  "--attach": "without -d both outputs come here; -i passes input on",
  "-a": "without -d both outputs come here; -i passes input on",
  "--platform": "lighter pull --platform brings an image for another machine; run takes this machine's",
  "--stop-timeout": "lighter stop -t SECONDS says how long to wait",
  "--label-file": "give the labels one by one with -l",
  "--isolation": "it is a matter of Windows",
  "--storage-opt": "a container's root has no size of its own; df shows the machine's",
  "--domainname": "--hostname takes the whole name",
  "--use-api-socket": "-v the socket into the container",
};

const limits = "lighter run has the limits: -m, --cpus, --pids-limit; they stay as they are then";

/** Options of `docker update`. */
export const dockerUpdateOptions: Instead = {
  "--memory": limits,
  "-m": limits,
  "--memory-swap": limits,
  "--memory-reservation": limits,
  "--cpus": limits,
  "--cpu-shares": limits,
  "-c": limits,
  "--cpu-period": limits,
  "--cpu-quota": limits,
  "--cpuset-cpus": limits,
  "--cpuset-mems": limits,
  "--pids-limit": limits,
  "--blkio-weight": limits,
};

/** Commands of docker's. */
export const dockerCommands: Instead = {
  build: "build with buildkit or docker, then docker save IMAGE | lighter image import -; or lighter image from-rootfs",
  buildx: "build with buildkit or docker, then docker save IMAGE | lighter image import -",
  compose: "run the containers one by one",
  network: "a container has none (the default) or this machine's network: lighter run --net host",
  volume: "name a folder of this machine: lighter run -v /srv/data:/data",
  commit: "lighter snapshot diff shows what a container changed; lighter image from-rootfs makes an image of a folder",
  rename: "a container's name is its id, which stays",
  port: "a container has no ports of its own; with --net host they are this machine's",
  diff: "lighter snapshot diff CONTAINER shows what it changed in its root",
  history: "lighter image inspect IMAGE shows its layers and how they were made",
  search: "lighter pull NAME fetches what you know by name",
  swarm: "lighter looks after one machine",
  service: "lighter looks after one machine",
  node: "lighter looks after one machine",
  stack: "lighter looks after one machine",
  plugin: "lighter image, content, snapshot and system show what the daemon keeps",
  context: "lighter -a SOCKET talks to another daemon",
  manifest: "lighter image inspect IMAGE shows it",
  export: "lighter image export writes an image; lighter exec BOX tar -c / a container's root",
  import:
    "lighter image from-rootfs FILE.tar NAME makes an image of a root; lighter image import reads docker save's archives",
};
