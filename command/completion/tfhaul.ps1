# Completion of tfhaul for PowerShell: tfhaul completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName tfhaul -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
        ForEach-Object { $_.ToString() })
    $given = @('complete', "--word=$wordToComplete", '--') + @($words | Select-Object -Skip 1)
    & $words[0] @given 2>$null | ForEach-Object {
        $word, $description = $_ -split "`t", 2
        # Where there is nothing to answer, PowerShell completes the names of files.
        if ($word -and -not $word.StartsWith(':')) {
            if (-not $description) { $description = $word }
            [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $description)
        }
    }
}
