export const shells: readonly string[] = ["bash", "zsh", "fish"];

/**
 * A script that asks `lighter completion --complete -- WORDS` for candidates.
 * Shape: each answer is a word, with --notes also a tab and what it means; the one answer `:files` means the shell's own
 * file names. The command is asked under the name under which it is being typed.
 */
export function completionScript(shell: string): string | undefined {
  return Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
}

const scripts: Readonly<Record<string, string>> = {
  bash: `# bash completion for lighter
_lighter() {
  # The line is taken apart here: bash itself would break words at : and =, which names of images hold.
  local line=\${COMP_LINE:0:COMP_POINT} current answer broken
  local -a words
  read -ra words <<< "$line"
  case $line in *[[:space:]]) words+=("") ;; esac
  current=\${words[\${#words[@]}-1]}
  answer=$("\${words[0]/#\\~/$HOME}" completion --complete -- "\${words[@]:1}" 2>/dev/null)
  COMPREPLY=()
  if [ "$answer" = ":files" ]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}")
  elif [ -n "$answer" ]; then
    mapfile -t COMPREPLY <<< "$answer"
    broken=\${COMP_WORDS[COMP_CWORD]}
    case $broken in : | =) broken= ;; esac
    COMPREPLY=("\${COMPREPLY[@]#"\${current%"$broken"}"}")
  fi
}
complete -F _lighter lighter
`,
  zsh: `#compdef lighter
_lighter() {
  local -a lines names notes
  lines=("\${(@f)$("\${words[1]/#\\~/$HOME}" completion --complete --notes -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  lines=(\${lines:#})
  if [[ "$lines" == ":files" ]]; then
    _files
  elif (( \${#lines} )); then
    names=("\${(@)lines%%$'\\t'*}")
    notes=("\${(@)lines/$'\\t'/  -- }")
    compadd -l -d notes -a names
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
  set -l answer ($words[1] completion --complete --notes -- $words[2..-1] 2>/dev/null)
  if test "$answer" = ":files"
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $answer
  end
end
complete -c lighter -f -a '(__lighter_complete)'
`,
};
