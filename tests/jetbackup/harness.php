<?php

/*
 * Runs PHP code that comes on standard input, as JetBackup would run the classes that stand below the first argument: with its
 * declarations (a checkout of them instead of ours as the second), every warning an error, and nothing printed. Prints one JSON document.
 */

[, $root, $checkout] = $argv + [2 => ''];
define('__JETBACKUP__', true);
error_reporting(E_ALL);
set_error_handler(function (int $number, string $message, string $file, int $line): bool {
    if (!(error_reporting() & $number)) {
        return false;
    }
    throw new ErrorException($message, 0, $number, $file, $line);
});

function published(string $checkout, string $class): void
{
    $integration = 'JetBackup\\Core\\Panel\\Integration\\';
    $path = str_starts_with($class, $integration)
        ? "src/" . substr($class, strlen($integration))
        : "stubs/" . substr($class, strlen('JetBackup\\Core\\'));
    foreach (['.inc', '.php'] as $suffix) {
        $file = "$checkout/" . strtr($path, '\\', '/') . $suffix;
        if (is_file($file)) {
            // PHP 8.2 does not know typed constants yet.
            eval('?>' . preg_replace('/\bconst\s+(?:int|string)\s+(?=\w+\s*=)/', 'const ', file_get_contents($file)));
        }
    }
}

spl_autoload_register(function (string $class) use ($root, $checkout): void {
    if (str_starts_with($class, 'JetBackup\\Panel\\')) {
        $file = $root . '/usr/local/jetapps/var/lib/jetbackup5/' . strtr(substr($class, strlen('JetBackup\\')), '\\', '/') . '.inc';
        if (is_file($file)) {
            require $file;
        }
    } elseif ($checkout !== '' && str_starts_with($class, 'JetBackup\\Core\\')) {
        published($checkout, $class);
    }
});
if ($checkout === '') {
    require __DIR__ . '/contract.php';
}
require __DIR__ . '/foreign.php';

/** What every getter of an object says, and of the objects that it returns. */
function told(mixed $value): mixed
{
    if (is_array($value)) {
        return array_map('told', $value);
    }
    if (is_string($value)) {
        return preg_match('//u', $value) ? $value : ['base64' => base64_encode($value)];
    }
    if (!is_object($value)) {
        return $value;
    }
    $found = ['class' => get_class($value)];
    foreach ((new ReflectionClass($value))->getMethods(ReflectionMethod::IS_PUBLIC) as $method) {
        $name = $method->getName();
        $plain = $method->getNumberOfRequiredParameters() === 0 && !$method->isStatic();
        if ($plain && preg_match('/^(get|is)[A-Z]/', $name) && !in_array($name, ['getPanelConfig', 'getPath'])) {
            $found[$name] = told($value->$name());
        }
    }
    return $found;
}

$report = [];
ob_start();
try {
    $report['value'] = told(eval(stream_get_contents(STDIN)));
} catch (Throwable $thrown) {
    $report = ['thrown' => get_class($thrown), 'message' => $thrown->getMessage()];
}
$report['printed'] = ob_get_clean();
echo json_encode($report, JSON_THROW_ON_ERROR);
