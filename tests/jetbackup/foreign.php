<?php

/* What JetBackup itself hands to a panel: objects of other classes, made from a backup that another panel may have made. */

use JetBackup\Core\Panel\Integration\Account\Config;
use JetBackup\Core\Panel\Integration\Account\Database;
use JetBackup\Core\Panel\Integration\Account\DatabaseUser;
use JetBackup\Core\Panel\Integration\Account\DatabaseUserPrivileges;
use JetBackup\Core\Panel\Integration\Account\Package;
use JetBackup\Core\Panel\Integration\DatabaseAuth;
use JetBackup\Core\Restore\RestoreAccount\PostRestoreData;

class ForeignDatabase implements Database
{
    public function __construct(private string $name, private int $engine)
    {
    }

    public function getPanel(): string { return 'Other_Panel'; }
    public function getName(): string { return $this->name; }
    public function getEngine(): int { return $this->engine; }
    public function getEngineName(): int { return 1; }
    public function getEngineVersion(): string { return ''; }
    public function getAuth(): ?DatabaseAuth { return null; }
    public function getCustomData(): string { return 'of the other panel'; }
    public function remove(): void {}
}

class ForeignPrivileges implements DatabaseUserPrivileges
{
    public function __construct(private string $name, private array $grants)
    {
    }

    public function getDatabaseName(): string { return $this->name; }
    public function getGrants(): array { return $this->grants; }
}

class ForeignUser implements DatabaseUser
{
    public function __construct(
        private ?string $name,
        private ?string $password,
        private int $engine,
        private array $privileges,
        private string $panel = 'Other_Panel',
        private string $data = 'of the other panel',
    ) {
    }

    public function getPanel(): string { return $this->panel; }
    public function getName(): ?string { return $this->name; }
    public function getPassword(): ?string { return $this->password; }
    public function getEngine(): int { return $this->engine; }
    public function getPrivileges(): array { return $this->privileges; }
    public function getCustomData(): string { return $this->data; }
    public function remove(): void {}
}

/** A configuration of ours, as it comes back from a backup. */
class CameBack implements Config
{
    public function __construct(private string $path)
    {
    }

    public function getPanel(): string { return 'Strongroom_Accounts'; }
    public function getPath(): ?string { return $this->path; }
    public function getMainDomain(): ?string { return null; }
    public function getPassword(): ?string { return null; }
    public function getIPAddresses(): array { return []; }
    public function getPackage(): Package { throw new LogicException('nobody asks'); }
    public function getOwner(): ?string { return null; }
    public function getEmailAddress(): ?string { return null; }
    public function isSuspended(): bool { return false; }
    public function isSuspendedReal(): bool { return false; }
    public function isRoot(): bool { return false; }
    public function isReseller(): bool { return false; }
    public function isVirtual(): bool { return true; }
    public function getCustomData(): string { return ''; }
    public function remove(): void {}
}

class Restored extends PostRestoreData
{
    public function __construct(private ?Config $mine, private ?string $home = null)
    {
    }

    public function getConfig(): ?Config { return $this->mine; }
    public function getHomedir(): ?string { return $this->home; }
}
