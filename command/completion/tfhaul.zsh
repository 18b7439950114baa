#compdef tfhaul
# Completion of tfhaul for zsh: source <(tfhaul completion zsh), after compinit
_tfhaul() {
  local word=${words[CURRENT]} line description files
  local -a follow options
  [[ $word == -* ]] && options=(-o)
  for line in "${(@f)$("${words[1]/#\~\//$HOME/}" complete --word="$word" -- "${(@)words[2,CURRENT-1]}" 2>/dev/null)}"; do
    case $line in
    '') ;;
    :*) files=$line ;;
    *) description=${line#*$'\t'}
      [[ $line == *$'\t'* ]] && description=:$description || description=
      follow+=("${${line%%$'\t'*}//:/\\:}$description") ;;
    esac
  done
  if [[ -n $files ]]; then
    [[ $word == --*=* ]] && compset -P '*='
    [[ $files == :directories ]] && _files -/ || _files
  elif (( ${#follow} )); then
    _describe -V $options 'tfhaul' follow
  fi
}
# Either zsh has loaded this file as the function, or the user has sourced it.
if [[ ${funcstack[1]} == _tfhaul ]]; then
  _tfhaul "$@"
else
  compdef _tfhaul tfhaul
fi
