package audit

import (
	"strings"
	"testing"

	"tfhaul/statefile"
)

func TestNameWords(t *testing.T) {
	for name, want := range map[string]string{
		"db_password": "db password", "DB-Password": "db password", "dbPassword": "db password", "DBPassword": "db password", "DB_PASSWORD": "db password",
		"secretAccessKey": "secret access key", "ssh.key1": "ssh key1", "": "", "_": "", "日本語token": "token", "APIKey": "api key",
	} {
		if got := strings.Join(nameWords(name), " "); got != want {
			t.Errorf("%s has the words %q, want %q", name, got, want)
		}
	}
}

func TestNamesOfSecrets(t *testing.T) {
	for kind, names := range map[statefile.NameKind]string{
		statefile.NameSecret: `password db_password rds_master_password dbPassword DB_PASSWORD dbpassword password1 passwords db_user_password user_password
			users_passwords default_password password_prod admin_pass db_pass admin_pw pw apiKey api_key api_keys apikey secretKey secret_key secretAccessKey aws_secret_access_key
			clientSecret client_secret_value privateKeyPem private_key_pem tls_private_key tls_private_rsa_key token access_token github_token join_token file_token tokens
			kubeconfig kube_config kube_config_raw connection_string primary_connection_string conn_str primary_access_key storage_account_primary_key sas_token
			webhook_secret jwt_signing_key ssh_key psk vpn_psk pre_shared_key shared_key hmac_key credentials_json service_account_key license_key registry_password
			datadog_app_key instrumentation_key vault_unseal_keys auth_string basic_auth`,
		statefile.NameContainer: "secret secrets secret_string db_secret",
		statefile.NameKey:       "cosmosdb_primary_key eventhub_secondary_key search_query_key function_host_key primary_key access_log_key secret_id erlang_cookie key",
		statefile.NameAbout: `password_length password_policy secret_arn secret_name token_endpoint token_ttl public_key kms_key_id kms_key_arn key_pair_name
			ssh_public_key secret_version secrets_manager_arn private_key_path access_key_id key_vault_uri token_url password_secret_arn api_key_name
			account_key_type private_key_algorithm kms_key password_reset_enabled secret_store secrets_engine_path oidc_token_issuer ssh_key_name dsn_prefix
			ssh_key_fingerprint secret_iam_role master_key_id tokens_count get_credentials_command encrypted_password password_hash ssh_authorized_keys
			kms_encryption_key kubeconfig_certificate_authority_data hash_key db_password_ssm github_token_ssm_parameter`,
		statefile.NameNeutral: "tokenizer secretary passwordless storage_account_name private_subnets keyring author license compass bypass passthrough subnet_ids partition_key users",
	} {
		for _, name := range strings.Fields(names) {
			if got := nameKind([]byte(name)); got != kind {
				t.Errorf("nameKind(%q) = %d, want %d", name, got, kind)
			}
		}
	}
}
