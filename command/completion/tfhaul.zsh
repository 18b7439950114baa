#compdef tfhaul
# Completion of tfhaul for zsh: source <(tfhaul completion zsh), after compinit
_tfhaul() {
  local -a given follow
  given=("${(@)words[1,CURRENT-1]}")
  [[ ${words[CURRENT]} == -* ]] && given+=("${words[CURRENT]}")
  follow=("${(@f)$(SHELL=zsh "${given[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n ${follow[1]} ]]; then
    _describe 'tfhaul' follow
  else
    _files
  fi
}
compdef _tfhaul tfhaul
