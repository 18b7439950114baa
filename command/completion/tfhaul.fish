# Completion of tfhaul for fish: tfhaul completion fish > ~/.config/fish/completions/tfhaul.fish
function __tfhaul_complete
    set -l words (commandline -opc)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    $program complete --word=(commandline -ct | string collect) -- $words[2..-1] 2>/dev/null
end
function __tfhaul_takes_files
    __tfhaul_complete | string match -q -r '^:'
end
complete -c tfhaul -f -k -a '(__tfhaul_complete | string match -v -r "^:")'
complete -c tfhaul -n __tfhaul_takes_files -F
