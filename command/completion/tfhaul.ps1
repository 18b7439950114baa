# Completion of tfhaul for PowerShell: tfhaul completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName tfhaul -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | ForEach-Object { $_.ToString() })
    if ($wordToComplete -and -not $wordToComplete.StartsWith('-')) {
        $words = @($words | Select-Object -SkipLast 1)
    }
    $given = @($words | Select-Object -Skip 1) + '--generate-bash-completion'
    & $words[0] @given 2>$null | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }
}
