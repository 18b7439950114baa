# Completion of tfhaul for bash: source <(tfhaul completion bash)
_tfhaul() {
  local cur=${COMP_WORDS[COMP_CWORD]}
  local given=("${COMP_WORDS[@]:0:COMP_CWORD}")
  [[ $cur == -* ]] && given+=("$cur")
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$(SHELL=bash "${given[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur"))
}
complete -o bashdefault -o default -F _tfhaul tfhaul
