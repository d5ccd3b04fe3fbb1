export const shells: readonly string[] = ["bash", "zsh", "fish"];

/**
 * A script that asks `lighter completion --complete -- WORDS` for candidates.
 * Shape: the one answer `:files` means the shell's own file names.
 */
export function completionScript(shell: string): string | undefined {
  return Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
}

const scripts: Readonly<Record<string, string>> = {
  bash: `# bash completion for lighter
_lighter() {
  local IFS=$'\\n' current=\${COMP_WORDS[COMP_CWORD]} answer
  answer=$(lighter completion --complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  if [ "$answer" = ":files" ]; then
    COMPREPLY=($(compgen -f -- "$current"))
    compopt -o filenames
  else
    COMPREPLY=($(compgen -W "$answer" -- "$current"))
  fi
}
complete -F _lighter lighter
`,
  zsh: `#compdef lighter
_lighter() {
  local -a answer
  answer=("\${(@f)$(lighter completion --complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ "$answer" == ":files" ]]; then
    _files
  else
    compadd -- $answer
  fi
}
if [ "$funcstack[1]" = "_lighter" ]; then
  _lighter "$@"
else
  compdef _lighter lighter
fi
`,
  fish: `# fish completion for lighter
function __lighter_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l answer (lighter completion --complete -- $words[2..-1] 2>/dev/null)
  if test "$answer" = ":files"
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $answer
  end
end
complete -c lighter -f -a '(__lighter_complete)'
`,
};
