<?php

/*
 * What JetBackup 5 declares for a panel, as far as a class has to fit it: names, parameters, returned types, constants. Written from a
 * description, with parameters as wide and returned types as narrow as they may be, and without the typed constants of PHP 8.3.
 */

namespace JetBackup\Core\Exception {
    class JBException extends \Exception
    {
    }

    class PanelException extends JBException
    {
    }

    class APIException extends JBException
    {
    }

    class ValidationException extends APIException
    {
    }
}

namespace JetBackup\Core\Panel {
    class Log
    {
        public array $messages = [];

        public function logMessage($message)
        {
            $this->messages[] = $message;
        }

        public function logDebug($message)
        {
        }

        public function logError($message)
        {
            $this->messages[] = $message;
        }
    }
}

namespace JetBackup\Core\Restore\RestoreAccount {
    class PostRestoreData
    {
        public function getConfig(): ?\JetBackup\Core\Panel\Integration\Account\Config
        {
            return null;
        }

        public function getHomedir(): ?string
        {
            return null;
        }
    }
}

namespace JetBackup\Core\Panel\Integration {
    use JetBackup\Core\Panel\Integration\Account\Account;
    use JetBackup\Core\Panel\Integration\Account\Config;
    use JetBackup\Core\Panel\Log;

    interface Panel
    {
        public function getInfo(): PanelInfo;
        public function getPublicDir(): string;
        public function countAccounts(): int;
        public function listAccounts($limit = 0, $page = 0): array;
        public function getAccount($username): ?Account;
        public function createAccount($username, Config $config): Account;
        public function getDatabaseAuth($engine): ?DatabaseAuth;
        public function setLogger(Log $logger);
        public function postDisasterRecovery();
    }

    interface PanelInfo
    {
        public function getId(): string;
        public function getName(): string;
        public function getVersion(): string;
        public function getTier(): string;
    }

    interface PanelConfig
    {
        const PROTECTED_FIELD = 'JB|HIDDEN|********************';

        public function getFields(): array;
        public function getProtectedFields(): array;
        public function validateFields(): void;
    }

    interface DatabaseAuth
    {
        public function getPort(): int;
        public function getHostname(): string;
        public function getUsername(): string;
        public function getPassword(): string;
        public function getSocket(): ?string;
        public function getLibDir(): string;
        public function isLocal(): bool;
        public function getAuthDatabase(): string;
    }

    interface Quota
    {
        const UNLIMITED = -1;

        public function getDiskUsage(): int;
        public function getDiskFree(): int;
        public function getDiskTotal(): int;
        public function getInodeUsage(): int;
    }
}

namespace JetBackup\Core\Panel\Integration\Account {
    use JetBackup\Core\Panel\Integration\DatabaseAuth;
    use JetBackup\Core\Panel\Integration\Quota;
    use JetBackup\Core\Restore\RestoreAccount\PostRestoreData;

    interface Account
    {
        public function getUsername(): string;
        public function getNickname(): string;
        public function getMainDomain(): ?string;
        public function getMainEmailAddress(): ?string;
        public function getOwner(): ?string;
        public function getCreated(): int;
        public function getUniqueId(): string;
        public function isReseller(): bool;
        public function isSuspended(): bool;
        public function isRoot(): bool;
        public function isLoginOnly(): bool;
        public function isVirtual(): bool;
        public function getHomeDir(): string;
        public function getHomeDirOwner(): string;
        public function getHomeDirGroup(): string;
        public function getHomeDirPermissions(): int;
        public function getHomeDirExcludeList(): array;
        public function getPackage(): Package;
        public function getPackages(): array;
        public function getIPAddresses(): array;
        public function getQuota(): Quota;
        public function getPanelConfig(): ?Config;
        public function getCustomData(): string;
        public function getDomains($domain = null): array;
        public function addDomain(Domain $domain): ?Domain;
        public function getEmailAccounts($email = null): array;
        public function addEmailAccount(EmailAccount $account): ?EmailAccount;
        public function getDatabases($db_engine, $database = null): array;
        public function addDatabase(Database $database): ?Database;
        public function getDatabaseUsers($db_engine, $database_user = null): array;
        public function addDatabaseUser(DatabaseUser $user): ?DatabaseUser;
        public function getSSLCerts($domain = null): array;
        public function addSSLCert(Certificate $certificate): ?Certificate;
        public function getFTPAccounts($account = null): array;
        public function addFTPAccount(FTPAccount $account): ?FTPAccount;
        public function getCronJob(): ?string;
        public function setCronJob($cronjob): void;
        public function remove(): void;
        public function preRestore(): void;
        public function postRestore(PostRestoreData $data): void;
    }

    interface AccountPackage
    {
        const TYPE_USER = 1;
        const TYPE_RESELLER = 2;

        public function getName(): string;
        public function getType(): ?int;
    }

    interface Config
    {
        public function getPanel(): string;
        public function getPath(): ?string;
        public function getMainDomain(): ?string;
        public function getPassword(): ?string;
        public function getIPAddresses(): array;
        public function getPackage(): Package;
        public function getOwner(): ?string;
        public function getEmailAddress(): ?string;
        public function isSuspended(): bool;
        public function isSuspendedReal(): bool;
        public function isRoot(): bool;
        public function isReseller(): bool;
        public function isVirtual(): bool;
        public function getCustomData(): string;
        public function remove(): void;
    }

    interface Domain
    {
        const TYPE_MAIN_DOMAIN = 1;
        const TYPE_ADDON_DOMAIN = 2;
        const TYPE_SUBDOMAIN = 3;
        const TYPE_ALIAS = 4;
        const TYPE_REDIRECT = 5;
        const TYPE_DNS_ONLY = 6;

        public function getPanel(): string;
        public function getName(): string;
        public function getPublicDir(): string;
        public function getType(): int;
        public function getIPAddresses(): array;
        public function getParent(): ?Domain;
        public function getZoneFile(): ?string;
        public function getPHPDetails(): ?PHPDetails;
        public function getRedirectURL(): ?string;
        public function getRedirectCode(): ?int;
        public function getCustomData(): string;
        public function remove(bool $remove_data = false): void;
    }

    interface Database
    {
        const ENGINE_MYSQL = 1;
        const ENGINE_MONGODB = 2;
        const ENGINE_POSTGRESQL = 3;

        public function getPanel(): string;
        public function getName(): string;
        public function getEngine(): int;
        public function getEngineName(): int;
        public function getEngineVersion(): string;
        public function getAuth(): ?DatabaseAuth;
        public function getCustomData(): string;
        public function remove(): void;
    }

    interface DatabaseUser
    {
        public function getPanel(): string;
        public function getName(): ?string;
        public function getPassword(): ?string;
        public function getEngine(): int;
        public function getPrivileges(): array;
        public function getCustomData(): string;
        public function remove(): void;
    }

    interface DatabaseUserPrivileges
    {
        public function getDatabaseName(): string;
        public function getGrants(): array;
    }

    interface EmailAccount
    {
        public function getPanel(): string;
        public function getName(): string;
        public function getPath(): string;
        public function getQuota(): int;
        public function getSendLimit(): int;
        public function getPassword(): string;
        public function getFilters(): array;
        public function getCustomData(): string;
        public function remove(): void;
    }

    interface FTPAccount
    {
        public function getPanel(): string;
        public function getName(): string;
        public function getPassword(): string;
        public function getPath(): string;
        public function getQuota(): int;
        public function getCustomData(): string;
        public function remove(): void;
    }

    interface Certificate
    {
        public function getPanel(): string;
        public function getDomain(): string;
        public function getPrivateKey(): string;
        public function getCertificate(): string;
        public function getCAChain(): string;
        public function getCustomData(): string;
        public function remove(): void;
    }

    interface Package
    {
        const UNLIMITED = -1;

        public function getName(): string;
        public function getQuota(): int;
        public function getBandwidth(): int;
        public function getMaxInodes(): int;
        public function getMaxFTPAccounts(): int;
        public function getMaxEmailAccounts(): int;
        public function getMaxEmailForwarders(): int;
        public function getMaxDatabases(): int;
        public function getMaxSubDomains(): int;
        public function getMaxAliasDomains(): int;
        public function getMaxAddonDomains(): int;
        public function getMaxMailingLists(): int;
        public function getMaxAutoresponders(): int;
        public function getCGIAccess(): bool;
        public function getShellAccess(): bool;
        public function isCustom(): bool;
        public function getCustomData(): string;
    }

    interface IPAddress
    {
        public function getIP(): string;
        public function isMain(): bool;
        public function getType(): int;
    }

    interface PHPDetails
    {
        public function getVersion(): ?int;
        public function getHandler(): ?int;
        public function isCLSelector(): bool;
        public function isInherited(): bool;
    }
}
