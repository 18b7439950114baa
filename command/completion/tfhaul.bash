# Completion of tfhaul for bash: source <(tfhaul completion bash)
_tfhaul() {
  local word=${COMP_WORDS[COMP_CWORD]} line answer
  COMPREPLY=()
  answer=$("${COMP_WORDS[0]/#\~\//$HOME/}" complete --word="$word" -- "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null) || return
  # Without compopt (bash 3.2), bash completes files wherever nothing else can follow.
  type compopt &>/dev/null && compopt +o default
  while IFS= read -r line; do
    case $line in
    '') ;;
    :files) type compopt &>/dev/null && compopt -o default ;;
    :directories) type compopt &>/dev/null && compopt -o dirnames ;;
    *) COMPREPLY+=("${line%%$'\t'*}") ;;
    esac
  done <<<"$answer"
}
complete -o default -F _tfhaul tfhaul
